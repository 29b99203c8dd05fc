"""What is remembered of a batch on disk, so that a restart finds it again: one small JSON file and the rows that were sent.

    rows and intent written -> batch created -> its id noted -> results in the ledger -> rows deleted

A custom_id is the intent and the ledger key of its row, so results need no other table to be matched. The intent also marks
the batch at the provider: killed between creating it and noting its id, it is found there again and not bought twice.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

from pydantic import ValidationError

from distil.calls.identity import wire_bytes
from distil.calls.request import JsonObject
from distil.errors import UserError, WorkFailed
from distil.ids import now
from distil.records import Record
from distil.runs.jsonl import describe, read_json, write_json

State = Literal["intended", "created", "cancelled", "done"]
MAX_CUSTOM_ID = 64  # Anthropic's limit
_KEY_PREFIX = "call_"
_NAME = re.compile(rb"\bd[0-9a-f]{12}-[0-9a-f]{20}\b")


class BatchRow(NamedTuple):
    """One request of a batch."""

    key: str
    """Its key in the ledger."""
    sample: int
    body: JsonObject
    """The wire body, exactly as a live request would send it, or the keys would differ."""
    most_usd: float
    """The most it can cost at the batch price."""


class BatchJob(Record):
    """One batch, from the intent to buy it until its results are in the ledger."""

    intent: str
    """Ours: 12 hex digits, in every custom_id and in the provider's metadata where it has any."""
    model: str
    """The model as the config names it."""
    endpoint: str
    """As in the ledger's key."""
    state: State
    """intended (it may exist at the provider) | created (its id is known) | cancelled (its rows wait for a person) | done."""
    rows: int
    """How many requests."""
    most_usd: float
    """The most that they can cost together."""
    created: str
    """ISO time, UTC, of the intent."""
    batch_id: str | None = None
    """The provider's."""
    upload_id: str | None = None
    """The provider's id of the uploaded file, where it takes files: a lost batch is found by it."""
    word: str = ""
    """The provider's last word for its state."""
    answered: int = 0
    """Rows that were done when it was last looked at."""

    @property
    def open(self) -> bool:
        """It may still be answered, and charged."""
        return self.state in ("intended", "created")


class BatchFolder:
    """The folder with a project's batches."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def new(self, model: str, endpoint: str, rows: Sequence[BatchRow]) -> BatchJob:
        """Writes the rows and the intent, durably, before anything is sent. Raises WorkFailed when the disk is full."""
        job = BatchJob(
            intent=os.urandom(6).hex(),
            model=model,
            endpoint=endpoint,
            state="intended",
            rows=len(rows),
            most_usd=sum(row.most_usd for row in rows),
            created=now(),
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with self.rows_path(job).open("wb") as file:
                for row in rows:
                    file.write(wire_bytes(row._asdict()) + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise WorkFailed(
                f"Could not write the batch file in {self.folder}: {error.strerror}. Nothing was sent; free some space and "
                "run again."
            ) from error
        return self.save(job)

    def save(self, job: BatchJob, **changes: Any) -> BatchJob:
        """Notes what has changed, atomically."""
        job = job.model_copy(update=changes)
        write_json(self.folder / f"{job.intent}.job.json", job.model_dump(mode="json"))
        return job

    def finish(self, job: BatchJob) -> None:
        """Its results are in the ledger: the rows are not needed any more."""
        self.save(job, state="done")
        self._clear(job)

    def drop(self, job: BatchJob) -> None:
        """It was never created: nothing to remember."""
        (self.folder / f"{job.intent}.job.json").unlink(missing_ok=True)
        self._clear(job)

    def open_jobs(self, model: str | None = None) -> list[BatchJob]:
        """Batches that may still be answered, oldest first. Raises UserError that names an unreadable file."""
        return [job for job in self.jobs(model) if job.open]

    def jobs(self, model: str | None = None) -> list[BatchJob]:
        """Batches that hold rows back: the open ones, and those that were cancelled. Oldest first; raises UserError."""
        jobs = []
        for path in self.folder.glob("*.job.json"):
            try:
                job = BatchJob.model_validate(read_json(path))
            except ValidationError as error:
                raise UserError(f"{path}: {describe(error)}. It remembers a batch; restore it from a copy.") from None
            if job.state != "done" and model in (None, job.model):
                jobs.append(job)
        return sorted(jobs, key=lambda job: job.created)

    def held(self) -> dict[str, BatchJob]:
        """Ledger key -> the batch that holds this row back."""
        return {key: job for job in self.jobs() for key in self.keys(job)}

    def keys(self, job: BatchJob) -> Iterator[str]:
        """The ledger keys of a batch's rows; none where the file with its rows was deleted."""
        if self.rows_path(job).exists():
            yield from self.offsets(job)

    def upload_path(self, job: BatchJob) -> Path:
        """The rows in the vendor's format, while they are sent."""
        return self.folder / f"{job.intent}.upload"

    def _clear(self, job: BatchJob) -> None:
        self.rows_path(job).unlink(missing_ok=True)
        self.upload_path(job).unlink(missing_ok=True)

    def rows_path(self, job: BatchJob) -> Path:
        """The rows as they were written."""
        return self.folder / f"{job.intent}.rows.jsonl"

    def rows(self, job: BatchJob) -> Iterator[BatchRow]:
        """The rows of a job that is not done, as they were written."""
        with self.opened(job) as file:
            for line in file:
                yield BatchRow(**json.loads(line))

    def offsets(self, job: BatchJob) -> dict[str, int]:
        """Ledger key -> byte offset of its row, so that a batch of 100,000 bodies need not be in memory."""
        offsets, offset = {}, 0
        with self.opened(job) as file:
            for line in file:
                offsets[str(json.loads(line)["key"])] = offset
                offset += len(line)
        return offsets

    def opened(self, job: BatchJob) -> BinaryIO:
        """Its file of rows. Raises UserError when it was deleted."""
        try:
            return self.rows_path(job).open("rb")
        except FileNotFoundError:
            name = job.batch_id or job.intent
            raise UserError(
                f"{self.rows_path(job)} is not there, so the results of the batch {name} can't be matched to prompts. Restore it "
                f"from a copy, or let the batch go: distil batches forget {name}"
            ) from None

    def row_at(self, file: BinaryIO, offset: int) -> BatchRow:
        """One row of an opened rows file."""
        file.seek(offset)
        return BatchRow(**json.loads(file.readline()))


def custom_id(intent: str, key: str) -> str:
    """`d` + intent + `-` + the hex digits of the key: 34 characters, of the 64 that Anthropic allows."""
    name = f"d{intent}-{key.removeprefix(_KEY_PREFIX)}"
    assert len(name) <= MAX_CUSTOM_ID
    return name


def key_of(name: str) -> str:
    """The ledger key in a custom_id."""
    return _KEY_PREFIX + name.partition("-")[2]


def name_in(line: bytes) -> str:
    """The custom_id in a line that can't be read as JSON, or empty."""
    found = _NAME.search(line)
    return found[0].decode() if found else ""


def intent_of(name: str) -> str:
    """The intent in a custom_id."""
    return name.partition("-")[0].removeprefix("d")
