"""Anthropic's message batches: one POST with all requests, results as one JSONL stream.

At most 100,000 requests or 256 MB, answered within 24 hours at half price; results are kept for 29 days. There is no metadata
field, so a batch of ours is recognized by the intent in its custom_ids, which show only in its results. Source:
docs.anthropic.com, "Message Batches".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from distil.calls.batch.api import (
    BatchProvider,
    Gone,
    Progress,
    Result,
    as_count,
    as_object,
    as_objects,
    id_of,
    progress,
    scratch,
)
from distil.calls.batch.job import BatchJob, BatchRow, custom_id, intent_of, name_in
from distil.calls.batch.net import Http
from distil.calls.identity import wire_bytes
from distil.calls.request import JsonObject

PATH = "/v1/messages/batches"
SLACK = timedelta(minutes=10)  # the clocks of both sides may differ


class AnthropicBatches:
    """Batches of one Anthropic model. `poll_s`: pause between looks at a batch that may be ours; `known`: ids that are not."""

    max_rows = 100_000
    max_bytes = 256_000_000

    def __init__(self, provider: BatchProvider, http: Http, poll_s: float, known: Callable[[], set[str]]) -> None:
        self._provider = provider
        self._http = http
        self._poll_s = poll_s
        self._known = known

    def line(self, name: str, body: JsonObject) -> JsonObject:
        """One entry of `requests`."""
        return {"custom_id": name, "params": body}

    async def submit(
        self, job: BatchJob, rows: Iterator[BatchRow], path: Path, uploaded: Callable[[str], Awaitable[None]]
    ) -> str:
        """Creates the batch; the body is streamed from a file."""
        with scratch(path):
            with path.open("wb") as file:
                separator = b'{"requests":['
                for row in rows:
                    file.write(separator + wire_bytes(self.line(custom_id(job.intent, row.key), row.body)))
                    separator = b","
                file.write(b"]}")
            with path.open("rb") as file:
                made = await self._http.create(PATH, data=file, headers={"Content-Type": "application/json"})
        return id_of(made)

    async def find(self, job: BatchJob) -> str | None:
        """Batches of the right time and size are waited for until they end, because only results show custom_ids."""
        oldest = datetime.fromisoformat(job.created) - SLACK
        query = {"limit": "100"}
        while True:
            page = await self._http.listing(PATH, **query)
            batches = as_objects(page.get("data"))
            for batch in batches:
                if _made(batch) >= oldest and await self._is_ours(job, batch):
                    return str(batch["id"])
            last = page.get("last_id")
            if not page.get("has_more") or not batches or not isinstance(last, str) or _made(batches[-1]) < oldest:
                return None
            query["after_id"] = last

    async def _is_ours(self, job: BatchJob, batch: JsonObject) -> bool:
        counts = as_object(batch.get("request_counts"))
        if not isinstance(batch.get("id"), str) or batch["id"] in self._known():
            return False
        if sum(map(as_count, counts.values())) != job.rows:
            return False
        try:
            while (await self.look(batch["id"])).state == "running":
                await asyncio.sleep(self._poll_s)
            async for result in self.results(batch["id"]):
                if result.custom_id:
                    return intent_of(result.custom_id) == job.intent
        except Gone:
            return False  # its results can't be had any more, whoever's it was
        return False

    async def look(self, batch_id: str) -> Progress:
        """How far it is."""
        return self.read(await self._http.get(f"{PATH}/{batch_id}"))

    def read(self, batch: JsonObject) -> Progress:
        """The progress in a batch object. It never fails as a whole once it was accepted; one that someone cancelled says so."""
        counts = as_object(batch.get("request_counts"))
        total = sum(map(as_count, counts.values()))
        found = progress(batch.get("processing_status"), total - as_count(counts.get("processing")), total)
        if found.state == "ended" and batch.get("cancel_initiated_at"):
            return found._replace(state="cancelled")
        return found

    async def cancel(self, batch_id: str) -> None:
        """Rows that are answered already stay, and are charged."""
        await self._http.ask(f"{PATH}/{batch_id}/cancel")

    async def results(self, batch_id: str) -> AsyncIterator[Result]:
        """succeeded | errored | canceled | expired."""
        async for row in self._http.rows(f"{PATH}/{batch_id}/results"):
            yield self.result(row)

    def result(self, row: JsonObject | bytes) -> Result:
        """One row of the results."""
        if isinstance(row, bytes):
            return Result(name_in(row), None, unreadable=row)
        name, result = str(row.get("custom_id") or ""), as_object(row.get("result"))
        kind = result.get("type")
        if kind == "succeeded" and isinstance(result.get("message"), dict):
            message = result["message"]
            return Result(name, wire_bytes(message), request_id=str(message.get("id") or "") or None)
        if kind == "errored":
            error = as_object(result.get("error"))
            inner = as_object(error.get("error")) or error
            status = 400 if inner.get("type") == "invalid_request_error" else 500
            fault = self._provider.fault(status, {}, wire_bytes({"type": "error", "error": inner}))
            return Result(name, None, fault.message, fault.retryable)
        return Result(name, None, f"the batch gave no answer to this row ({kind})")


def _made(batch: JsonObject) -> datetime:
    """When a batch was created; now, where it does not say."""
    try:
        made = datetime.fromisoformat(str(batch.get("created_at")))
    except ValueError:
        return datetime.now(UTC)
    return made if made.tzinfo is not None else made.replace(tzinfo=UTC)
