"""OpenAI's files and batches on the loopback server: uploads, states, output and error files, expired rows, lost replies."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from tests.wire.openai import OpenAIServer


class BatchDesk:
    """Batches move one state on each time they are looked at: validating, in_progress, then done."""

    purpose = "batch"

    def __init__(self, server: OpenAIServer) -> None:
        self.server = server
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.looks_until_done = 2
        self.expire: set[str] = set()
        """Words: rows that hold one of them expire unanswered."""
        self.fail: set[str] = set()
        """Words: rows that hold one of them end in the error file with a 500."""
        self.reject: str | None = None
        """A message: batches fail validation with it."""
        self.most_lines = 50_000
        self.enqueued_rows: int | None = None
        """More rows than this in one batch are too many enqueued tokens."""
        self.status: str | None = None
        """A word that every batch that is not done has, such as `paused`."""
        self.garble: set[str] = set()
        """Words: the result lines of rows that hold one of them are cut in half."""

    def routes(self) -> list[web.RouteDef]:
        """Of /v1/files and /v1/batches."""
        return [
            web.post("/v1/files", self._upload),
            web.get("/v1/files/{id}/content", self._content),
            web.post("/v1/batches", self._create),
            web.get("/v1/batches", self._list),
            web.get("/v1/batches/{id}", self._get),
            web.post("/v1/batches/{id}/cancel", self._cancel),
        ]

    async def _upload(self, request: web.Request) -> web.Response:
        refused = self.server.refused(request)
        if refused is not None:
            return refused
        form = await request.post()
        upload = form["file"]
        assert form["purpose"] == self.purpose and isinstance(upload, web.FileField)
        name = f"file-{len(self.files) + 1}"
        with upload.file as file:
            self.files[name] = file.read()
        size = len(self.files[name])
        reply = {
            "id": name,
            "object": "file",
            "bytes": size,
            "filename": upload.filename,
            "purpose": "batch",
            "status": "processed",
        }
        return web.json_response(reply)

    async def _content(self, request: web.Request) -> web.Response:
        raw = self.files.get(request.match_info["id"])
        if raw is None:
            return _missing("file")
        return self.server.refused(request) or web.Response(body=raw, content_type="application/octet-stream")

    async def _create(self, request: web.Request) -> web.Response:
        refused = self.server.refused(request)
        if refused is not None:
            return refused
        return await self.create(await request.json())

    async def create(self, body: dict[str, Any]) -> web.Response:
        """Makes the batch that a body asks for."""
        if body["input_file_id"] not in self.files:
            return _missing("file")
        name = f"batch_{len(self.batches) + 1}"
        self.batches[name] = {
            "id": name,
            "object": "batch",
            "endpoint": body["endpoint"],
            "input_file_id": body["input_file_id"],
            "completion_window": body["completion_window"],
            "status": "validating",
            "output_file_id": None,
            "error_file_id": None,
            "errors": None,
            "created_at": int(time.time()),
            "metadata": body.get("metadata"),
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
            "looks": 0,
        }
        return web.json_response(self.created(self.batches[name]))

    async def _list(self, request: web.Request) -> web.Response:
        newest = list(reversed(self.batches.values()))
        after = request.query.get("after")
        if after:
            names = [batch["id"] for batch in newest]
            newest = newest[names.index(after) + 1 :]
        page = newest[: int(request.query.get("limit", 20))]
        reply = {"object": "list", "data": [self.shown(batch) for batch in page], "has_more": len(page) < len(newest)}
        return self.server.refused(request) or web.json_response(reply)

    async def _get(self, request: web.Request) -> web.Response:
        batch = self.batches.get(request.match_info["id"])
        if batch is None:
            return _missing("batch")
        if batch["status"] in ("validating", "in_progress"):
            batch["looks"] += 1
            batch["status"] = "in_progress"
            if self.status is not None:
                return web.json_response(self.shown(batch | {"status": self.status}))
            if batch["looks"] >= self.looks_until_done:
                self._finish(batch)
        return self.server.refused(request) or web.json_response(self.shown(batch))

    async def _cancel(self, request: web.Request) -> web.Response:
        batch = self.batches.get(request.match_info["id"])
        if batch is None:
            return _missing("batch")
        self.stop(batch)
        return web.json_response(self.shown(batch) | {"status": "cancelling"})

    def stop(self, batch: dict[str, Any], answered: int = 0) -> None:
        """Somebody cancels a batch, in the dashboard or by the API, after so many of its rows were answered."""
        raw = self.files[batch["input_file_id"]]
        lines = raw.splitlines(keepends=True)
        self.files[batch["input_file_id"]] = b"".join(lines[:answered])
        self._finish(batch)
        self.files[batch["input_file_id"]] = raw
        batch["status"] = "cancelled"

    def created(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The reply to the request that creates it."""
        return self.shown(batch)

    def shown(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The batch object as the API shows it."""
        return {key: value for key, value in batch.items() if key != "looks"}

    def _finish(self, batch: dict[str, Any]) -> None:
        lines = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines() if line.strip()]
        if self.enqueued_rows is not None and len(lines) > self.enqueued_rows:
            batch["status"] = "failed"
            words = "Enqueued token limit reached for gpt-4o-mini in organization org-1. Limit: 90,000 enqueued tokens."
            fault = {"code": "token_limit_exceeded", "message": words, "line": None, "param": None}
            batch["errors"] = {"object": "list", "data": [fault]}
            return
        if self.reject or len(lines) > self.most_lines:
            batch["status"] = "failed"
            words = self.reject or "The batch input file has too many lines."
            batch["errors"] = {
                "object": "list",
                "data": [{"code": "invalid", "message": words, "line": None, "param": None}],
            }
            return
        good, bad = [], []
        for number, line in enumerate(lines):
            (good if self._row(line, number) else bad).append(self._made)
        batch["status"] = "expired" if any(word in json.dumps(lines) for word in self.expire) else "completed"
        batch["request_counts"] = {"total": len(lines), "completed": len(good), "failed": len(bad)}
        for field, rows in (("output_file_id", good), ("error_file_id", bad)):
            if rows:  # a real batch has no file where there are no rows
                batch[field] = f"file-{batch['id']}-{field}"
                self.files[batch[field]] = "".join(self._line(row) for row in reversed(rows)).encode()

    def _line(self, row: dict[str, Any]) -> str:
        line = json.dumps(row)
        return (line[: len(line) // 2] if any(word in line for word in self.garble) else line) + "\n"

    def _row(self, line: dict[str, Any], number: int) -> bool:
        words = json.dumps(line["body"])
        row: dict[str, Any] = {
            "id": f"batch_req_{number}",
            "custom_id": line["custom_id"],
            "response": None,
            "error": None,
        }
        if any(word in words for word in self.expire):
            row["error"] = {
                "code": "batch_expired",
                "message": "This request could not be executed before the completion window expired.",
            }
        else:
            status, body = self.server.complete(line["body"])
            if any(word in words for word in self.fail):
                status, body = (
                    500,
                    {"error": {"message": "The server had an error.", "type": "server_error", "code": None}},
                )
            row["response"] = {"status_code": status, "request_id": f"req_{number}", "body": body}
        self._made = row
        return row["response"] is not None and row["response"]["status_code"] == 200


def _missing(kind: str) -> web.Response:
    body = {"error": {"message": f"No such {kind}", "type": "invalid_request_error", "param": "id", "code": None}}
    return web.json_response(body, status=404)
