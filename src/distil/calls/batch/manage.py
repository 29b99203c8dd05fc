"""What a person can do with a project's batches: see them, cancel one at its provider, let one go.

Waiting for them and taking their answers in is run.py's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from distil import loops
from distil.calls.batch.api import Gone
from distil.calls.batch.apis import open_api
from distil.calls.batch.intake import let_go
from distil.calls.batch.job import BatchFolder, BatchJob
from distil.calls.config import TeacherConfig
from distil.calls.ledger.store import Ledger
from distil.calls.providers.catalog import open_teacher
from distil.errors import DistilError, UserError
from distil.records import Record


class BatchStatus(Record):
    """One batch as `distil batches` shows it."""

    id: str
    """The provider's id; ours (the intent) while that is not known."""
    model: str
    """The model as the config names it."""
    state: str
    """intended | cancelled | gone, or the provider's word."""
    age_s: float
    """Seconds since it was made."""
    rows: int
    """Requests in it."""
    answered: int
    """Of those, done when it was last looked at."""
    most_usd: float
    """The most that it can still cost, in dollars, at the batch price."""
    note: str = ""
    """Why the provider could not be asked, or what to type."""


def statuses(
    folder: BatchFolder, teachers: Sequence[TeacherConfig], root: Path, *, offline: bool = False
) -> list[BatchStatus]:
    """The batches that are not done, oldest first. offline: as they were last seen, without asking the providers."""
    jobs = folder.jobs()
    known = {teacher.model: teacher for teacher in teachers}
    notes: dict[str, tuple[str, int, str]] = {}
    for model in dict.fromkeys(job.model for job in jobs if job.state == "created"):
        if offline:
            continue
        mine = [job for job in jobs if job.model == model and job.state == "created"]
        if model not in known:
            notes |= {job.intent: (job.word, job.answered, "this model is no longer a teacher") for job in mine}
            continue
        notes |= loops.run(_look(known[model], mine, root))
    return [_status(job, *notes.get(job.intent, (job.word, job.answered, ""))) for job in jobs]


async def _look(teacher: TeacherConfig, jobs: Sequence[BatchJob], root: Path) -> dict[str, tuple[str, int, str]]:
    """intent -> (word, answered, note)."""
    found: dict[str, tuple[str, int, str]] = {}
    try:
        async with open_api(open_teacher(teacher, root=root), 1.0, set, tries=1) as (api, _):
            for job in jobs:
                try:
                    progress = await api.look(str(job.batch_id))
                    found[job.intent] = (progress.word or progress.state, progress.done, "")
                except Gone as error:
                    note = f"not at the provider any more ({error}); the next `distil collect` lets it go"
                    found[job.intent] = ("gone", job.answered, note)
    except DistilError as error:
        for job in jobs:
            found.setdefault(job.intent, (job.word, job.answered, f"could not be asked: {error}"))
    return found


def _status(job: BatchJob, word: str, answered: int, note: str) -> BatchStatus:
    age = datetime.now(UTC) - datetime.fromisoformat(job.created)
    name = job.batch_id or job.intent
    if job.state == "cancelled":
        note = f"`distil batches forget {name}` lets the other {job.rows - job.answered:,} be asked again"
    return BatchStatus(
        id=name,
        model=job.model,
        state=job.state if job.state != "created" else word or "created",
        age_s=max(0.0, age.total_seconds()),
        rows=job.rows,
        answered=min(answered, job.rows),
        most_usd=job.most_usd,
        note=note,
    )


def named(folder: BatchFolder, name: str) -> BatchJob:
    """The batch with this id (the provider's or ours). Raises UserError."""
    jobs = folder.jobs()
    for job in jobs:
        if name in (job.batch_id, job.intent):
            return job
    raise UserError(f"There is no unfinished batch {name!r} here. {_names(jobs)}")


def _names(jobs: Iterable[BatchJob]) -> str:
    names = ", ".join(job.batch_id or job.intent for job in jobs)
    return f"There are: {names}. `distil batches` lists them." if names else "No batch is unfinished."


def cancel(folder: BatchFolder, name: str, teachers: Sequence[TeacherConfig], root: Path) -> BatchJob:
    """Asks the provider to stop a batch; the next `distil collect` fetches what it answered. Raises UserError, WorkFailed."""
    job = named(folder, name)
    teacher = next((teacher for teacher in teachers if teacher.model == job.model), None)
    if job.state == "cancelled":
        raise UserError(
            f"The batch {name} is cancelled already. `distil batches forget {name}` lets its rows be asked again."
        )
    if teacher is None:
        raise UserError(
            f"{job.model} is no longer a teacher: put it back under `teachers:` in distil.yaml, then cancel its batch."
        )
    if job.batch_id is None:
        raise UserError(
            f"Whether the batch {name} was created is not known yet. Run `distil collect`, which finds it or drops it."
        )

    async def ask() -> None:
        async with open_api(open_teacher(teacher, root=root), 1.0, set) as (api, _):
            try:
                await api.cancel(str(job.batch_id))
            except Gone as error:
                raise UserError(
                    f"The provider does not have the batch {name} any more ({error}). `distil batches forget {name}` lets it go."
                ) from None

    loops.run(ask())
    return job


def forget(folder: BatchFolder, name: str, ledger: Ledger) -> tuple[BatchJob, int, float]:
    """Lets a batch go: (it, rows that may be asked again, the most dollars they may have cost). Raises UserError."""
    job = named(folder, name)
    why = "its batch was cancelled and let go" if job.state == "cancelled" else "its batch was let go by hand"
    return job, *let_go(ledger, folder, job, why)
