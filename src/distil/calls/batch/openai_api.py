"""OpenAI's batch API: a JSONL file is uploaded, a batch is made of it, results and errors come as two files.

At most 50,000 requests and 200 MB a file, answered within 24 hours at half price.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from distil.calls.batch.api import Http, Progress, Result
from distil.calls.batch.job import BatchJob, BatchRow, custom_id
from distil.calls.identity import wire_bytes
from distil.calls.providers.openai import OpenAIProvider
from distil.calls.request import JsonObject
from distil.errors import WorkFailed

if TYPE_CHECKING:
    import aiohttp

URL = "/v1/chat/completions"
INTENT_FIELD = "distil_intent"
SLACK = timedelta(hours=1)  # the clocks of both sides may differ
_RUNNING = ("validating", "in_progress", "finalizing", "cancelling")


class OpenAIBatches:
    """Batches of one OpenAI model."""

    max_rows = 50_000
    max_bytes = 200_000_000

    def __init__(self, provider: OpenAIProvider, http: Http) -> None:
        self._provider = provider
        self._http = http

    def line(self, name: str, body: JsonObject) -> JsonObject:
        """One line of the input file."""
        return {"custom_id": name, "method": "POST", "url": URL, "body": body}

    async def submit(self, job: BatchJob, rows: Iterator[BatchRow], path: Path) -> str:
        """Uploads the file, then creates the batch with the intent in its metadata."""
        try:
            with path.open("wb") as file:
                for row in rows:
                    file.write(wire_bytes(self.line(custom_id(job.intent, row.key), row.body)) + b"\n")
            uploaded = await self._http.upload("/files", lambda: _form(path))
        except OSError as error:
            raise WorkFailed(f"Could not write {path}: {error.strerror}. Free some space and run again.") from error
        finally:
            path.unlink(missing_ok=True)
        batch = {
            "input_file_id": uploaded["id"],
            "endpoint": URL,
            "completion_window": "24h",
            "metadata": {INTENT_FIELD: job.intent, "distil_rows": str(job.rows)},
        }
        return str((await self._http.create("/batches", json=batch))["id"])

    async def find(self, job: BatchJob) -> str | None:
        """Looks through the account's batches, newest first, back to when the intent was written."""
        oldest = (datetime.fromisoformat(job.created) - SLACK).now()
        query = {"limit": "100"}
        while True:
            page = await self._http.get("/batches", **query)
            data = page.get("data", [])
            for batch in data:
                if (batch.get("metadata") or {}).get(INTENT_FIELD) == job.intent:
                    return str(batch["id"])
            if not page.get("has_more") or not data or data[-1].get("created_at", 0) < oldest:
                return None
            query["after"] = data[-1]["id"]

    async def look(self, batch_id: str) -> Progress:
        """An expired or cancelled batch has ended: what was answered is there (and charged)."""
        batch = await self._http.get(f"/batches/{batch_id}")
        counts = batch.get("request_counts") or {}
        done = int(counts.get("completed") or 0) + int(counts.get("failed") or 0)
        total = int(counts.get("total") or 0)
        status = batch.get("status")
        if status in _RUNNING:
            return Progress("running", done, total)
        if status == "failed":
            errors = (batch.get("errors") or {}).get("data") or []
            message = "; ".join(str(error.get("message", "")) for error in errors[:3])
            too_much = any(error.get("code") == "token_limit_exceeded" for error in errors)
            return Progress("failed", 0, total, message, too_much)
        return Progress("ended", done, total)

    async def results(self, batch_id: str) -> AsyncIterator[Result]:
        """Both files; neither exists where it would be empty."""
        batch = await self._http.get(f"/batches/{batch_id}")
        for field in ("output_file_id", "error_file_id"):
            if batch.get(field):
                async for row in self._http.rows(f"/files/{batch[field]}/content"):
                    yield self._result(row)

    def _result(self, row: JsonObject) -> Result:
        name = str(row.get("custom_id", ""))
        response = row.get("response") or {}
        status, body = response.get("status_code") or 0, response.get("body")
        if status == 200 and isinstance(body, dict):
            return Result(name, wire_bytes(body), request_id=str(body.get("id") or row.get("id") or "") or None)
        if status >= 300:
            fault = self._provider.fault(status, {}, wire_bytes(body or {}))
            return Result(name, None, fault.message, fault.retryable)
        error = row.get("error") or {}
        problem = error.get("message") or error.get("code") or "the batch gave no answer to this row"
        return Result(name, None, str(problem))


def _form(path: Path) -> aiohttp.FormData:
    import aiohttp

    form = aiohttp.FormData(quote_fields=False)
    form.add_field("purpose", "batch")
    # aiohttp streams an open file and closes it when it is sent.
    form.add_field("file", path.open("rb"), filename="distil.jsonl", content_type="application/jsonl")
    return form
