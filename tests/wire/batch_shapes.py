"""Groq, Mistral and Together on loopback servers: OpenAI's chat completions, and batches with each vendor's differences.

Sources: console.groq.com/docs/api-reference#batches, docs.mistral.ai/api (jobs_api_routes_batch_*, files), and
docs.together.ai/reference (upload-file, batch-create, batch-get, batch-list).
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from tests.wire.openai import OpenAIServer
from tests.wire.openai_batches import BatchDesk


class GroqDesk(BatchDesk):
    """Pages by cursor, everything else as OpenAI."""

    async def _list(self, request: web.Request) -> web.Response:
        start = int(request.query.get("cursor", "0"))
        newest = list(reversed(self.batches.values()))
        paging = {"next_cursor": str(start + 2)} if start + 2 < len(newest) else {}
        page = [self.shown(batch) for batch in newest[start : start + 2]]
        return web.json_response({"object": "list", "data": page, "paging": paging})


MISTRAL_WORDS = {
    "validating": "QUEUED",
    "in_progress": "RUNNING",
    "completed": "SUCCESS",
    "failed": "FAILED",
    "expired": "TIMEOUT_EXCEEDED",
    "cancelled": "CANCELLED",
}


class MistralDesk(BatchDesk):
    """Jobs of one model, with the states and the names of its own."""

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/files", self._upload),
            web.get("/v1/files/{id}/content", self._content),
            web.post("/v1/batch/jobs", self._create),
            web.get("/v1/batch/jobs", self._list),
            web.get("/v1/batch/jobs/{id}", self._get),
            web.post("/v1/batch/jobs/{id}/cancel", self._cancel),
        ]

    async def _create(self, request: web.Request) -> web.Response:
        body = await request.json()
        (name,) = body["input_files"]
        lines = [json.loads(line) for line in self.files[name].splitlines()]
        assert all(set(line) == {"custom_id", "body"} and "model" not in line["body"] for line in lines)
        told = [line | {"body": line["body"] | {"model": body["model"]}} for line in lines]
        self.files[name] = "".join(json.dumps(line) + "\n" for line in told).encode()
        return await self.create(body | {"input_file_id": name, "completion_window": f"{body['timeout_hours']}h"})

    async def _list(self, request: web.Request) -> web.Response:
        assert request.query["order_by"] == "-created"
        size = int(request.query["page_size"])
        start = int(request.query["page"]) * size
        newest = [self.shown(batch) for batch in reversed(self.batches.values())]
        return web.json_response({"object": "list", "data": newest[start : start + size], "total": len(newest)})

    def shown(self, batch: dict[str, Any]) -> dict[str, Any]:
        counts = batch["request_counts"]
        return {
            "id": batch["id"],
            "object": "batch",
            "input_files": [batch["input_file_id"]],
            "endpoint": batch["endpoint"],
            "metadata": batch["metadata"],
            "status": MISTRAL_WORDS.get(batch["status"], batch["status"].upper()),
            "created_at": batch["created_at"],
            "total_requests": counts["total"],
            "completed_requests": counts["completed"] + counts["failed"],
            "succeeded_requests": counts["completed"],
            "failed_requests": counts["failed"],
            "output_file": batch["output_file_id"],
            "error_file": batch["error_file_id"],
            "errors": [{"message": e["message"], "count": 1} for e in (batch["errors"] or {}).get("data", [])],
        }


class TogetherDesk(BatchDesk):
    """No metadata; a new batch is wrapped, a list is bare, states are in capitals."""

    purpose = "batch-api"

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/files/upload", self._upload),
            web.get("/v1/files/{id}/content", self._content),
            web.post("/v1/batches", self._create),
            web.get("/v1/batches", self._list),
            web.get("/v1/batches/{id}", self._get),
            web.post("/v1/batches/{id}/cancel", self._cancel),
        ]

    async def _create(self, request: web.Request) -> web.Response:
        body = await request.json()
        assert "metadata" not in body
        return await self.create(body)

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response([self.shown(batch) for batch in self.batches.values()])

    def created(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"job": self.shown(batch), "warning": ""}

    def shown(self, batch: dict[str, Any]) -> dict[str, Any]:
        counts = batch["request_counts"]
        return {
            "id": batch["id"],
            "user_id": "user_1",
            "input_file_id": batch["input_file_id"],
            "status": batch["status"].upper(),
            "progress": 100.0 if counts["total"] else 0.0,
            "endpoint": batch["endpoint"],
            "created_at": "2026-11-28T21:00:00Z",
            "output_file_id": batch["output_file_id"] or "",
            "error_file_id": batch["error_file_id"] or "",
            "error": "; ".join(e["message"] for e in (batch["errors"] or {}).get("data", [])),
        }


def vendor(name: str) -> OpenAIServer:
    """A server of groq, mistral or together; its model is `small`, its key that of the OpenAI server."""
    server = OpenAIServer(models=("small",))
    server.desk = {"groq": GroqDesk, "mistral": MistralDesk, "together": TogetherDesk}[name](server)
    return server
