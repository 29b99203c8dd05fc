"""Gemini's batches on the loopback server: inline and by file, operations that move on when looked at, results in either form.

Sources: ai.google.dev/api/batch-api (batchGenerateContent, batches.get, list, cancel), ai.google.dev/api/files (resumable upload,
download), ai.google.dev/gemini-api/docs/batch-api.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from tests.wire.google import KEY, GoogleServer, error


class GoogleBatchServer(GoogleServer):
    """A GoogleServer with batches. `inline` False: results come as a file, however they were sent."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.batches: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.prefix = "BATCH_STATE"
        self.status: str | None = None
        self.inline = True
        self.looks_until_done = 2
        self.expire: set[str] = set()
        self.fail: set[str] = set()
        self.garble: set[str] = set()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1beta/models/{call}", self._call),
            web.post("/upload/v1beta/files", self._start_upload),
            web.post("/upload/session/{id}", self._upload),
            web.get("/download/v1beta/files/{call}", self._download),
            web.get("/v1beta/batches", self._list),
            web.get("/v1beta/batches/{id}", self._get),
            web.post("/v1beta/batches/{call}", self._cancel),
        ]

    async def _call(self, request: web.Request) -> web.Response:
        model, _, method = request.match_info["call"].partition(":")
        if method != "batchGenerateContent":
            return await self._generate(request)
        if request.headers.get("x-goog-api-key") != KEY:
            return _json(error(400, "INVALID_ARGUMENT", "API key not valid.", {"reason": "API_KEY_INVALID"}).body, 400)
        order = (await request.json())["batch"]
        source = order["input_config"]
        if "file_name" in source:
            rows = [json.loads(line) for line in self.files[source["file_name"]].splitlines()]
        else:
            rows = [{"key": r["metadata"]["key"], "request": r["request"]} for r in source["requests"]["requests"]]
        name = f"batches/{len(self.batches) + 1}"
        self.batches[name] = {"name": name, "model": model, "display": order["display_name"], "rows": rows, "looks": 0}
        self.batches[name] |= {"state": "PENDING", "at": datetime.now(UTC).isoformat(), "results": []}
        return _json(self.shown(self.batches[name]))

    async def _start_upload(self, request: web.Request) -> web.Response:
        assert request.headers["X-Goog-Upload-Protocol"] == "resumable" and request.headers["x-goog-api-key"] == KEY
        self.sessions = getattr(self, "sessions", 0) + 1
        address = f"{self.origin}/upload/session/{self.sessions}"
        return web.Response(headers={"X-Goog-Upload-URL": address, "X-Goog-Upload-Status": "active"})

    async def _upload(self, request: web.Request) -> web.Response:
        assert request.headers["X-Goog-Upload-Command"] == "upload, finalize"
        name = f"files/in-{request.match_info['id']}"
        self.files[name] = await request.read()
        return _json({"file": {"name": name, "mimeType": "application/jsonl", "state": "ACTIVE"}})

    async def _list(self, request: web.Request) -> web.Response:
        start = int(request.query.get("pageToken", "0"))
        newest = list(reversed(self.batches.values()))
        page: dict[str, Any] = {"operations": [self.shown(batch) for batch in newest[start : start + 2]]}
        return _json(page | ({"nextPageToken": str(start + 2)} if start + 2 < len(newest) else {}))

    async def _get(self, request: web.Request) -> web.Response:
        batch = self.batches.get(f"batches/{request.match_info['id']}")
        if batch is None:
            return _json(error(404, "NOT_FOUND", "Requested entity was not found.").body, 404)
        if batch["state"] in ("PENDING", "RUNNING"):
            batch["looks"] += 1
            batch["state"] = "RUNNING"
            if self.status is not None:
                return _json(self.shown(batch | {"state": self.status}))
            if batch["looks"] >= self.looks_until_done:
                self.finish(batch, len(batch["rows"]))
                batch["state"] = "SUCCEEDED"
        return _json(self.shown(batch))

    async def _cancel(self, request: web.Request) -> web.Response:
        name, _, verb = request.match_info["call"].partition(":")
        assert verb == "cancel"
        if f"batches/{name}" not in self.batches:
            return _json(error(404, "NOT_FOUND", "Requested entity was not found.").body, 404)
        self.stop(self.batches[f"batches/{name}"])
        return _json({})

    def stop(self, batch: dict[str, Any], answered: int = 0) -> None:
        """Somebody cancels a batch after so many of its rows were answered."""
        self.finish(batch, answered)
        batch["state"] = "CANCELLED"

    def finish(self, batch: dict[str, Any], answered: int) -> None:
        """Answers the first rows of a batch."""
        for row in reversed(batch["rows"][:answered]):
            words = json.dumps(row["request"])
            made: dict[str, Any] = {"metadata": {"key": row["key"]}}
            if any(word in words for word in self.expire):
                made["error"] = {"code": 1, "message": "The operation was cancelled."}
            elif any(word in words for word in self.fail):
                made["error"] = {"code": 13, "message": "Internal error encountered."}
            else:
                made["response"] = self.reply(row["request"], batch["model"])
            batch["results"].append(made)

    def shown(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The operation as the API shows it."""
        done, failed = len(batch["results"]), sum("error" in row for row in batch["results"])
        about: dict[str, Any] = {
            "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
            "model": f"models/{batch['model']}",
            "displayName": batch["display"],
            "createTime": batch["at"],
            "batchStats": {"requestCount": str(len(batch["rows"])), "successfulRequestCount": str(done - failed)},
            "state": f"{self.prefix}_{batch['state']}",
            "name": batch["name"],
        }
        shown: dict[str, Any] = {"name": batch["name"], "metadata": about}
        if batch["state"] not in ("SUCCEEDED", "CANCELLED"):
            return shown
        output: dict[str, Any] = {"inlinedResponses": {"inlinedResponses": batch["results"]}}
        if not self.inline or self.garble:
            name = f"files/{batch['name'].replace('/', '-')}"
            self.files[name] = "".join(self._line(row) for row in batch["results"]).encode()
            output = {"responsesFile": name}
        about["output"] = output
        return shown | {"done": True, "response": output}

    def _line(self, row: dict[str, Any]) -> str:
        line = json.dumps({"key": row["metadata"]["key"], **{k: v for k, v in row.items() if k != "metadata"}})
        return (line[: len(line) // 2] if any(word in line for word in self.garble) else line) + "\n"

    async def _download(self, request: web.Request) -> web.Response:
        name, _, verb = request.match_info["call"].partition(":")
        assert verb == "download" and request.query["alt"] == "media"
        raw = self.files.get(f"files/{name}")
        if raw is None:
            return _json(error(404, "NOT_FOUND", "Requested entity was not found.").body, 404)
        return web.Response(body=raw, content_type="application/octet-stream")


def _json(body: Any, status: int = 200) -> web.Response:
    return web.json_response(body, status=status)
