"""OpenAI's batch API and those of its shape (compatible_api.py): a JSONL file is uploaded, a batch is made of it, results and
errors come as two files.

OpenAI: at most 50,000 requests and 200 MB a file, answered within 24 hours at half price. Source: platform.openai.com/docs,
guide "Batch" and API reference, objects `batch`, `batch/request-input`, `batch/request-output`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from distil.calls.batch.api import (
    BatchProvider,
    Progress,
    Result,
    as_count,
    as_object,
    as_objects,
    id_of,
    multipart,
    progress,
    scratch,
)
from distil.calls.batch.job import BatchJob, BatchRow, custom_id, name_in
from distil.calls.batch.net import Http
from distil.calls.identity import wire_bytes
from distil.calls.providers.responses import ResponsesProvider
from distil.calls.request import JsonObject
from distil.errors import WorkFailed

if TYPE_CHECKING:
    import aiohttp

URL = "/v1/chat/completions"
RESPONSES_URL = "/v1/responses"
INTENT_FIELD = "distil_intent"
SLACK = timedelta(hours=1)  # the clocks of both sides may differ
MAX_PAGES = 200


class OpenAIBatches:
    """Batches of one model at OpenAI, or at a vendor that copied its API and overrides what it does differently."""

    max_rows = 50_000
    max_bytes = 200_000_000
    batches = "/batches"
    files = "/files"
    uploads = "/files"
    purpose = "batch"
    output_fields: tuple[str, ...] = ("output_file_id", "error_file_id")

    def __init__(self, provider: BatchProvider, http: Http, poll_s: float, known: Callable[[], set[str]]) -> None:
        self.provider = provider
        self.http = http
        self.url = RESPONSES_URL if isinstance(provider, ResponsesProvider) else URL

    def line(self, name: str, body: JsonObject) -> JsonObject:
        """One line of the input file."""
        return {"custom_id": name, "method": "POST", "url": self.url, "body": body}

    def order(self, job: BatchJob, file_id: str) -> JsonObject:
        """The body that creates a batch of an uploaded file."""
        return {
            "input_file_id": file_id,
            "endpoint": self.url,
            "completion_window": "24h",
            "metadata": {INTENT_FIELD: job.intent, "distil_rows": str(job.rows)},
        }

    def form(self, path: Path) -> aiohttp.FormData:
        """The multipart form that uploads a file."""
        return multipart(path, "distil.jsonl", purpose=self.purpose)

    async def submit(
        self, job: BatchJob, rows: Iterator[BatchRow], path: Path, uploaded: Callable[[str], Awaitable[None]]
    ) -> str:
        """Uploads the file, then creates the batch with the intent in its metadata."""
        with scratch(path):
            with path.open("wb") as file:
                for row in rows:
                    file.write(wire_bytes(self.line(custom_id(job.intent, row.key), row.body)) + b"\n")
            made = await self.http.upload(self.uploads, lambda: self.form(path))
        file_id = made.get("id")
        if not isinstance(file_id, str):
            raise WorkFailed(
                f"{self.provider.base_url} names no id of the uploaded file. Nothing was bought; run again later."
            )
        await uploaded(file_id)
        created = await self.http.create(self.batches, json=self.order(job, file_id))
        return id_of(as_object(created.get("job")) or created)  # Together wraps it

    async def find(self, job: BatchJob) -> str | None:
        """Looks through the account's batches, newest first, back to when the intent was written."""
        oldest = (datetime.fromisoformat(job.created) - SLACK).timestamp()
        query: dict[str, str] | None = self.first_page()
        for _ in range(MAX_PAGES):
            if query is None:
                return None
            page = await self.http.listing(self.batches, **query)
            data = as_objects(page.get("data"))
            for batch in data:
                if self.is_ours(job, batch) and isinstance(batch.get("id"), str):
                    return str(batch["id"])
            created = as_count(data[-1].get("created_at")) if data else 0
            query = None if created and created < oldest else self.next_page(query, page, data)
        return None

    def is_ours(self, job: BatchJob, batch: JsonObject) -> bool:
        """By the intent in its metadata, or by the file that it was made of."""
        files = batch.get("input_files") or [batch.get("input_file_id")]
        of_file = job.upload_id is not None and isinstance(files, list) and job.upload_id in files
        return of_file or as_object(batch.get("metadata")).get(INTENT_FIELD) == job.intent

    def first_page(self) -> dict[str, str]:
        """The query for the newest batches."""
        return {"limit": "100"}

    def next_page(self, query: dict[str, str], page: JsonObject, data: list[JsonObject]) -> dict[str, str] | None:
        """The query for the next page; None after the last one."""
        last = data[-1].get("id") if data else None
        return query | {"after": last} if page.get("has_more") and isinstance(last, str) else None

    async def look(self, batch_id: str) -> Progress:
        """An expired or cancelled batch has ended: what was answered is there (and charged)."""
        return self.read(await self.http.get(f"{self.batches}/{batch_id}"))

    def read(self, batch: JsonObject) -> Progress:
        """The progress in a batch object."""
        counts = as_object(batch.get("request_counts"))
        done, total = as_count(counts.get("completed")) + as_count(counts.get("failed")), as_count(counts.get("total"))
        found = progress(batch.get("status"), done, total)
        if found.state != "failed":
            return found
        if any(batch.get(field) for field in self.output_fields):
            return found._replace(state="ended")  # it worked on it: what came out is there
        errors = as_objects(as_object(batch.get("errors")).get("data") or batch.get("errors"))
        said = "; ".join(str(error.get("message") or "") for error in errors[:3]) or str(batch.get("error") or "")
        too_much = any(error.get("code") == "token_limit_exceeded" for error in errors)
        return found._replace(done=0, message=said[:1000], too_much=too_much)

    async def cancel(self, batch_id: str) -> None:
        """Rows that are answered already stay, and are charged."""
        await self.http.ask(f"{self.batches}/{batch_id}/cancel")

    async def results(self, batch_id: str) -> AsyncIterator[Result]:
        """Both files; neither exists where it would be empty."""
        batch = await self.http.get(f"{self.batches}/{batch_id}")
        for field in self.output_fields:
            if isinstance(batch.get(field), str) and batch[field]:
                async for row in self.http.rows(f"{self.files}/{batch[field]}/content"):
                    yield self.result(row)

    def result(self, row: JsonObject | bytes) -> Result:
        """One line of a result or error file."""
        if isinstance(row, bytes):
            return Result(name_in(row), None, unreadable=row)
        name, response = str(row.get("custom_id") or ""), as_object(row.get("response"))
        status, body = as_count(response.get("status_code")), response.get("body", response)
        if isinstance(body, dict) and (status == 200 or (not status and body.get("choices"))):
            return Result(name, wire_bytes(body), request_id=str(body.get("id") or row.get("id") or "") or None)
        if status >= 300:
            fault = self.provider.fault(status, {}, wire_bytes(as_object(body)))
            return Result(name, None, fault.message, fault.retryable)
        error = row.get("error")
        inner = as_object(error)
        problem = inner.get("message") or inner.get("code") or (error if isinstance(error, str) else "")
        return Result(name, None, str(problem or "the batch gave no answer to this row"))
