"""Gemini's batch API: small batches are sent inline, larger ones as an uploaded JSONL file; half price, within 24 hours.

A batch is an operation: its state is in `metadata`, its answers in `response` (or `metadata.output`), inline or as a file. A
batch of ours is known by its display name. Sources: ai.google.dev/api/batch-api, ai.google.dev/gemini-api/docs/batch-api, and
ai.google.dev/api/files for uploads; states are BATCH_STATE_* in the API and JOB_STATE_* in Google's own client.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from distil.calls.batch.api import (
    BatchProvider,
    Progress,
    Result,
    as_count,
    as_object,
    as_objects,
    id_of,
    progress,
    scratch,
)
from distil.calls.batch.job import BatchJob, BatchRow, custom_id, name_in
from distil.calls.batch.net import Http
from distil.calls.identity import wire_bytes
from distil.calls.request import JsonObject
from distil.errors import WorkFailed

if TYPE_CHECKING:
    import aiohttp

MAX_INLINE = 15_000_000
"""Bytes; Google takes 20 MB inline, with everything around the requests."""
MAX_PAGES = 200
SLACK = timedelta(hours=1)  # the clocks of both sides may differ
NEVER = (3, 5, 6, 7, 9, 11, 12, 16)
"""google.rpc.Code of faults that come again: invalid argument, not found, exists already, permission, precondition, out of range,
unimplemented, unauthenticated."""


class GoogleBatches:
    """Batches of one Gemini model."""

    max_rows = 50_000
    max_bytes = 200_000_000

    def __init__(self, provider: BatchProvider, http: Http, poll_s: float, known: Callable[[], set[str]]) -> None:
        self._provider = provider
        self._http = http

    def line(self, name: str, body: JsonObject) -> JsonObject:
        """One request of an inline batch."""
        return {"request": body, "metadata": {"key": name}}

    async def submit(
        self, job: BatchJob, rows: Iterator[BatchRow], path: Path, uploaded: Callable[[str], Awaitable[None]]
    ) -> str:
        """Inline below 15 MB; else by way of a file."""
        with scratch(path):
            with path.open("wb") as file:
                for row in rows:
                    line = {"key": custom_id(job.intent, row.key), "request": row.body}
                    file.write(wire_bytes(line) + b"\n")
            if path.stat().st_size <= MAX_INLINE:
                source: JsonObject = {"requests": {"requests": list(self._inline(path))}}
            else:
                name = await self._upload(job, path)
                await uploaded(name)
                source = {"file_name": name}
        order = {"batch": {"display_name": _display_name(job), "input_config": source}}
        address = f"/v1beta/models/{self._provider.name}:batchGenerateContent"
        return id_of(
            await self._http.create(address, data=wire_bytes(order), headers={"Content-Type": "application/json"})
        )

    def _inline(self, path: Path) -> Iterator[JsonObject]:
        import json

        with path.open("rb") as file:
            for text in file:
                line = json.loads(text)
                yield self.line(line["key"], line["request"])

    async def _upload(self, job: BatchJob, path: Path) -> str:
        """The name of the uploaded file: a first request asks for an address, a second one sends the bytes there."""
        headers = {
            "X-Goog-Upload-Protocol": "resumable",
            "X-Goog-Upload-Command": "start",
            "X-Goog-Upload-Header-Content-Length": str(path.stat().st_size),
            "X-Goog-Upload-Header-Content-Type": "application/jsonl",
        }
        about = {"file": {"display_name": _display_name(job)}}
        address = await self._http.post("/upload/v1beta/files", _upload_address, json=about, headers=headers)
        made = as_object((await self._http.send_file(address, path)).get("file"))
        if not isinstance(made.get("name"), str):
            raise WorkFailed(
                f"{self._provider.base_url} names no id of the uploaded file. Nothing was bought; run again later."
            )
        return str(made["name"])

    async def find(self, job: BatchJob) -> str | None:
        """Looks through the project's batches, back to when the intent was written."""
        oldest = (datetime.fromisoformat(job.created) - SLACK).isoformat()[:19]
        query = {"pageSize": "100"}
        for _ in range(MAX_PAGES):
            page = await self._http.listing("/v1beta/batches", **query)
            batches = as_objects(page.get("operations")) or as_objects(page.get("batches"))
            for batch in batches:
                about = as_object(batch.get("metadata")) or batch
                if about.get("displayName") == _display_name(job) and isinstance(batch.get("name"), str):
                    return str(batch["name"])
            last = as_object(batches[-1].get("metadata") or batches[-1]) if batches else {}
            following = page.get("nextPageToken")
            if not isinstance(following, str) or not following or str(last.get("createTime", "z"))[:19] < oldest:
                return None
            query["pageToken"] = following
        return None

    async def look(self, batch_id: str) -> Progress:
        """How far it is."""
        return self.read(await self._http.get(f"/v1beta/{batch_id}"))

    def read(self, batch: JsonObject) -> Progress:
        """The progress in an operation. One that is done without a word for it has ended, or failed with its error."""
        about = as_object(batch.get("metadata")) or batch
        counts = as_object(about.get("batchStats"))
        total = as_count(counts.get("requestCount"))
        done = as_count(counts.get("successfulRequestCount")) + as_count(counts.get("failedRequestCount"))
        found = progress(about.get("state") or batch.get("state"), done, total)
        error = as_object(batch.get("error"))
        if found.state == "running" and batch.get("done") is True:
            found = found._replace(state="failed" if error else "ended")
        if found.state == "failed" and _output(batch):
            found = found._replace(state="ended")
        return found._replace(message=str(error.get("message") or ""))

    async def cancel(self, batch_id: str) -> None:
        """Rows that are answered already may stay, and are charged."""
        await self._http.ask(f"/v1beta/{batch_id}:cancel")

    async def results(self, batch_id: str) -> AsyncIterator[Result]:
        """The answers in the operation, or those of its file."""
        output = _output(await self._http.get(f"/v1beta/{batch_id}"))
        inlined = output.get("inlinedResponses")
        for row in as_objects(as_object(inlined).get("inlinedResponses") or inlined):
            yield self.result(row)
        name = output.get("responsesFile")
        if isinstance(name, str) and name:
            async for line in self._http.rows(f"/download/v1beta/{name}:download?alt=media"):
                yield self.result(line)

    def result(self, row: JsonObject | bytes) -> Result:
        """One row of the results."""
        if isinstance(row, bytes):
            return Result(name_in(row), None, unreadable=row)
        name = str(as_object(row.get("metadata")).get("key") or row.get("key") or "")
        if isinstance(row.get("response"), dict):
            return Result(name, wire_bytes(row["response"]), request_id=row["response"].get("responseId") or None)
        error = as_object(row.get("error") or row.get("status"))
        problem = str(error.get("message") or "the batch gave no answer to this row")
        return Result(name, None, problem[:1000], as_count(error.get("code")) not in NEVER)


def _display_name(job: BatchJob) -> str:
    return f"distil-{job.intent}"


def _output(batch: JsonObject) -> JsonObject:
    return as_object(batch.get("response")) or as_object(as_object(batch.get("metadata")).get("output"))


async def _upload_address(reply: aiohttp.ClientResponse) -> str:
    """Where the bytes go, relative to the API's own server."""
    await reply.read()
    address = urlsplit(reply.headers.get("x-goog-upload-url", ""))
    if not address.path:
        raise WorkFailed("Google gave no address for the upload of a batch file. Nothing was bought; run again later.")
    return address.geturl()
