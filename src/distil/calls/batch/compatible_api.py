"""Batch APIs in OpenAI's shape, each with its differences: Groq, Mistral, Together.

Sources: console.groq.com/docs/batch and api-reference#batches; docs.mistral.ai/capabilities/batch and the operations
jobs_api_routes_batch_* of its API reference; docs.together.ai/docs/batch-inference and reference/upload-file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from distil.calls.batch.api import Progress, as_count, as_object, as_objects
from distil.calls.batch.job import BatchJob
from distil.calls.batch.openai_api import INTENT_FIELD, URL, OpenAIBatches
from distil.calls.request import JsonObject

if TYPE_CHECKING:
    import aiohttp


class GroqBatches(OpenAIBatches):
    """OpenAI's API with other pages and smaller files; half price, within 24 hours up to 7 days."""

    max_bytes = 100_000_000

    def first_page(self) -> dict[str, str]:
        return {}

    def next_page(self, query: dict[str, str], page: JsonObject, data: list[JsonObject]) -> dict[str, str] | None:
        cursor = as_object(page.get("paging")).get("next_cursor")
        return {"cursor": cursor} if isinstance(cursor, str) and cursor else None


class MistralBatches(OpenAIBatches):
    """Jobs of one model: it is named once for all rows. Half price, within 24 hours unless told otherwise."""

    max_rows = 100_000
    batches = "/batch/jobs"
    output_fields = ("output_file", "error_file")

    def line(self, name: str, body: JsonObject) -> JsonObject:
        return {"custom_id": name, "body": {field: value for field, value in body.items() if field != "model"}}

    def order(self, job: BatchJob, file_id: str) -> JsonObject:
        return {
            "input_files": [file_id],
            "endpoint": URL,
            "model": self.provider.name,
            "timeout_hours": 24,
            "metadata": {INTENT_FIELD: job.intent},
        }

    def first_page(self) -> dict[str, str]:
        return {"page": "0", "page_size": "100", "order_by": "-created"}

    def next_page(self, query: dict[str, str], page: JsonObject, data: list[JsonObject]) -> dict[str, str] | None:
        following = int(query["page"]) + 1
        more = data and following * 100 < as_count(page.get("total"))
        return query | {"page": str(following)} if more else None

    def read(self, batch: JsonObject) -> Progress:
        counts = {
            "total": batch.get("total_requests"),
            "completed": batch.get("succeeded_requests"),
            "failed": batch.get("failed_requests"),
        }
        errors = {"data": as_objects(batch.get("errors"))}
        return super().read(batch | {"request_counts": counts, "errors": errors})


class TogetherBatches(OpenAIBatches):
    """No metadata, so a batch of ours is known by its file; a new batch is wrapped in `job`, lists come bare."""

    max_bytes = 100_000_000
    purpose = "batch-api"
    uploads = "/files/upload"

    def line(self, name: str, body: JsonObject) -> JsonObject:
        return {"custom_id": name, "body": body}

    def order(self, job: BatchJob, file_id: str) -> JsonObject:
        return {"input_file_id": file_id, "endpoint": URL, "completion_window": "24h"}

    def form(self, path: Path) -> aiohttp.FormData:
        form = super().form(path)
        form.add_field("file_name", "distil.jsonl")
        form.add_field("file_type", "jsonl")
        return form

    def read(self, batch: JsonObject) -> Progress:
        found = super().read(batch)
        share = batch.get("progress")  # percent
        if found.total or not isinstance(share, (int, float)):
            return found
        return found._replace(done=int(max(0.0, min(100.0, share))), total=100)
