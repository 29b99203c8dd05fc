"""Anthropic's message batches: one POST with all requests, results as one JSONL stream.

At most 100,000 requests or 256 MB, answered within 24 hours at half price. There is no metadata field, so a batch of ours is
recognized by the intent in its custom_ids, which show only in its results.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from distil.calls.batch.api import Http, Progress, Result
from distil.calls.batch.job import BatchJob, BatchRow, custom_id, intent_of
from distil.calls.identity import wire_bytes
from distil.calls.providers.anthropic import AnthropicProvider
from distil.calls.request import JsonObject
from distil.errors import WorkFailed

PATH = "/v1/messages/batches"
SLACK = timedelta(minutes=10)  # the clocks of both sides may differ


class AnthropicBatches:
    """Batches of one Anthropic model. `poll_s`: pause between looks at a batch that may be ours; `known`: ids that are not."""

    max_rows = 100_000
    max_bytes = 256_000_000

    def __init__(
        self, provider: AnthropicProvider, http: Http, poll_s: float, known: Callable[[], set[str]] = set
    ) -> None:
        self._provider = provider
        self._http = http
        self._poll_s = poll_s
        self._known = known

    def line(self, name: str, body: JsonObject) -> JsonObject:
        """One entry of `requests`."""
        return {"custom_id": name, "params": body}

    async def submit(self, job: BatchJob, rows: Iterator[BatchRow], path: Path) -> str:
        """Creates the batch; the body is streamed from a file."""
        try:
            with path.open("wb") as file:
                separator = b'{"requests":['
                for row in rows:
                    file.write(separator + wire_bytes(self.line(custom_id(job.intent, row.key), row.body)))
                    separator = b","
                file.write(b"]}")
            with path.open("rb") as file:
                made = await self._http.create(PATH, data=file, headers={"Content-Type": "application/json"})
        except OSError as error:
            raise WorkFailed(f"Could not write {path}: {error.strerror}. Free some space and run again.") from error
        finally:
            path.unlink(missing_ok=True)
        return str(made["id"])

    async def find(self, job: BatchJob) -> str | None:
        """Batches of the right time and size are waited for until they end, because only results show custom_ids."""
        oldest = datetime.fromisoformat(job.created) - SLACK
        query = {"limit": "100"}
        while True:
            page = await self._http.get(PATH, **query)
            batches = page.get("data", [])
            for batch in batches:
                if datetime.fromisoformat(batch["created_at"]) >= oldest and await self._is_ours(job, batch):
                    return str(batch["id"])
            if not page.get("has_more") or not batches or datetime.fromisoformat(batches[-1]["created_at"]) < oldest:
                return None
            query["after_id"] = page["last_id"]

    async def _is_ours(self, job: BatchJob, batch: JsonObject) -> bool:
        if batch["id"] in self._known() or sum((batch.get("request_counts") or {}).values()) != job.rows:
            return False
        while (await self.look(batch["id"])).state == "running":
            await asyncio.sleep(self._poll_s)
        async for result in self.results(batch["id"]):
            return intent_of(result.custom_id) == job.intent
        return False

    async def look(self, batch_id: str) -> Progress:
        """A batch never fails as a whole once it was accepted."""
        batch = await self._http.get(f"{PATH}/{batch_id}")
        counts = batch.get("request_counts") or {}
        total = sum(counts.values())
        done = total - int(counts.get("processing") or 0)
        return Progress("ended" if batch.get("processing_status") == "ended" else "running", done, total)

    async def results(self, batch_id: str) -> AsyncIterator[Result]:
        """succeeded | errored | canceled | expired."""
        async for row in self._http.rows(f"{PATH}/{batch_id}/results"):
            yield self._result(row)

    def _result(self, row: JsonObject) -> Result:
        name, result = str(row.get("custom_id", "")), row.get("result") or {}
        kind = result.get("type")
        if kind == "succeeded" and isinstance(result.get("message"), dict):
            message = result["message"]
            return Result(name, wire_bytes(message), request_id=message.get("id"))
        if kind == "errored":
            error = result.get("error") or {}
            inner = error.get("error") if isinstance(error.get("error"), dict) else error
            status = 400 if (inner or {}).get("type") == "invalid_request_error" else 500
            fault = self._provider.fault(status, {}, wire_bytes({"type": "error", "error": inner}))
            return Result(name, None, fault.message, fault.retryable)
        return Result(name, None, f"the batch gave no answer to this row ({kind})")
