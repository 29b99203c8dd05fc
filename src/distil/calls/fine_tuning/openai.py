"""Fine-tuning at OpenAI: a file with the purpose `fine-tune`, a job of it, and the job's events.

Sources: the types of the openai SDK 3.57 (fine_tuning_job, job_create_params, fine_tuning_job_event, file_object) and OpenAI's
API reference.
"""

from __future__ import annotations

import time
from pathlib import Path

from distil.calls.batch.api import Gone, Lost, as_count, as_object, as_objects, multipart
from distil.calls.batch.net import Http
from distil.calls.fine_tuning.account import Account
from distil.calls.fine_tuning.api import Base, Estimate, Event, FileState, JobState, Order, Phase
from distil.calls.fine_tuning.offers import OFFERS
from distil.calls.fine_tuning.reading import number, said_of, share_of, text_of
from distil.calls.request import JsonObject
from distil.errors import UserError
from distil.runs.schemas.provider_job import Serving

PHASES: dict[str, Phase] = {"succeeded": "succeeded", "failed": "failed", "cancelled": "cancelled"}
RUNNING = ("validating_files", "queued", "running", "paused", "pending", "notrunning", "created", "resuming", "pausing")
INTENT_FIELD = "distil_intent"
MAX_PAGES = 50


class OpenAIFineTuning:
    """Jobs of one account at OpenAI, or at Azure, which overrides what it does differently."""

    jobs = "/fine_tuning/jobs"
    ready_words: tuple[str, ...] = ("processed", "uploaded")
    """What a file's `status` says when a job can be made of it: at OpenAI the job itself waits for the check."""

    def __init__(self, http: Http, account: Account) -> None:
        self.http = http
        self.account = account
        self.query: dict[str, str] = {}

    async def base(self, name: str) -> Base:
        """OpenAI's list of models does not tell which can be tuned: the job's creation does."""
        try:
            found = await self.http.get(f"/models/{name}", **self.query)
        except Gone as error:
            raise UserError(
                f"{self.account.name} has no model {name!r} ({error}). Name a base model that it tunes, such as "
                f"--base {OFFERS['openai'].example}."
            ) from None
        return Base(text_of(found.get("id")) or name)

    async def find_file(self, name: str) -> str | None:
        """Through the account's files of this purpose, newest first."""
        query: dict[str, str] | None = {"purpose": "fine-tune", "limit": "1000"} | self.query
        for _ in range(MAX_PAGES):
            if query is None:
                return None
            page = await self.http.listing("/files", **query)
            data = as_objects(page.get("data"))
            for file in data:
                if file.get("filename") == name and isinstance(file.get("id"), str):
                    return str(file["id"])
            query = _next(query, page, data)
        return None

    async def upload(self, path: Path, name: str, examples: int) -> str:
        """One multipart request."""
        made = await self.http.create(
            "/files", lambda: {"data": multipart(path, name, purpose="fine-tune")}, params=self.query
        )
        found = made.get("id")
        if not isinstance(found, str):
            raise Lost("the reply names no file")
        return found

    async def file_state(self, file_id: str) -> FileState:
        """`status` is deprecated at OpenAI, and may be missing."""
        file = await self.http.get(f"/files/{file_id}", **self.query)
        word = text_of(file.get("status")).lower()
        if word in ("error", "failed", "deleted", "deleting"):
            why = text_of(file.get("status_details")) or said_of(file.get("error")) or f"its state is {word}"
            return FileState(False, why)
        return FileState(not word or word in self.ready_words)

    async def estimate(self, order: Order) -> Estimate | None:
        """There is none."""
        return None

    def body(self, order: Order) -> JsonObject:
        """The job: settings under `method`; top-level hyperparameters are deprecated."""
        hyper = {"n_epochs": order.settings["epochs"]}
        if "batch_size" in order.settings:
            hyper["batch_size"] = order.settings["batch_size"]
        body: JsonObject = {
            "model": order.base,
            "training_file": order.train_file,
            "suffix": order.suffix,
            "method": {"type": "supervised", "supervised": {"hyperparameters": hyper}},
            "metadata": {INTENT_FIELD: order.intent},
        }
        if order.validation_file:
            body["validation_file"] = order.validation_file
        if "seed" in order.settings:
            body["seed"] = order.settings["seed"]
        return body

    async def create(self, order: Order) -> str:
        """The intent is in its metadata, and the files are of this order alone."""
        made = await self.http.create(self.jobs, json=self.body(order), params=self.query)
        found = made.get("id")
        if not isinstance(found, str):
            raise Lost("the reply names no job")
        return found

    async def find_job(self, order: Order) -> str | None:
        """By the intent in its metadata, or by the file that it learns from."""
        query: dict[str, str] | None = {"limit": "100"} | self.query
        for _ in range(MAX_PAGES):
            if query is None:
                return None
            page = await self.http.listing(self.jobs, **query)
            data = as_objects(page.get("data"))
            for job in data:
                ours = as_object(job.get("metadata")).get(INTENT_FIELD) == order.intent
                if (ours or job.get("training_file") == order.train_file) and isinstance(job.get("id"), str):
                    return str(job["id"])
            query = _next(query, page, data)
        return None

    async def look(self, job_id: str) -> JobState:
        """`estimated_finish` is a time; the share done is in the events."""
        job = await self.http.get(f"{self.jobs}/{job_id}", **self.query)
        word = text_of(job.get("status")).lower()
        finish = as_count(job.get("estimated_finish"))
        return JobState(
            PHASES.get(word, "running"),
            word,
            left_s=max(0.0, finish - time.time()) if finish else None,
            message=said_of(job.get("error")),
            model=text_of(job.get("fine_tuned_model")) or None,
            tokens=as_count(job.get("trained_tokens")) or None,
            known=word in PHASES or word in RUNNING,
        )

    async def events(self, job_id: str) -> list[Event]:
        """Newest first on the wire; those of metrics say the step."""
        page = await self.http.listing(f"{self.jobs}/{job_id}/events", limit="50", **self.query)
        found = []
        for event in reversed(as_objects(page.get("data"))):
            data = as_object(event.get("data"))
            share = share_of(data.get("step"), data.get("total_steps"))
            found.append(Event(str(number(event.get("created_at")) or ""), text_of(event.get("message")), share))
        return found

    async def cancel(self, job_id: str) -> None:
        """Stops it; what was trained until then is billed."""
        await self.http.ask(f"{self.jobs}/{job_id}/cancel", **self.query)

    def serving(self, base: str, model: str) -> Serving:
        """By its name at once, billed by the token."""
        offer = OFFERS["openai"]
        price = offer.training_price(base, None)
        return Serving(
            model=f"openai/{model}",
            dedicated=False,
            input=price.input if price else None,
            output=price.output if price else None,
            source=offer.price_source,
        )


def _next(query: dict[str, str], page: JsonObject, data: list[JsonObject]) -> dict[str, str] | None:
    last = data[-1].get("id") if data else None
    return query | {"after": last} if page.get("has_more") and isinstance(last, str) else None
