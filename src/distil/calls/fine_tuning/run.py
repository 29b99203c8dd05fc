"""One fine-tuning job, from its intent to its model: every step is noted before and after, so that none is done twice.

    intended -> files sent -> uploaded -> price agreed, dollars reserved -> creating -> created -> succeeded | failed | cancelled

Killed anywhere, the next run looks for what may be there under the intent's name (files, the job) before it makes it. Not the
data (train/provider.py) and not the wire formats.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from distil.calls.batch.api import Gone, Lost
from distil.calls.fine_tuning import money
from distil.calls.fine_tuning.api import FineTuningApi, JobState, Order
from distil.calls.ledger.store import Ledger
from distil.errors import DistilError, UserError, WorkFailed
from distil.progress import bar, dollars
from distil.runs.schemas.provider_job import ProviderJob, SentFile, save_provider_job

ROUNDS = 3
FIRST_POLL_S, MAX_POLL_S = 5.0, 60.0
CHECK_S = 3600.0
"""How long the provider's check of a file is waited for."""
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,299}")
"""A model's name as providers make them: it is shown inside commands that a person copies."""
NEWS = 5
"""So many of the last events are shown when a job is followed again."""


class Unsure(WorkFailed):
    """Whether something was made at the provider is not known."""


class FineTuningRun:
    """A job at an open API. path: of its record. write(split): the split's data file, the same bytes as were intended."""

    def __init__(
        self,
        api: FineTuningApi,
        ledger: Ledger,
        path: Path,
        *,
        title: str,
        write: Callable[[str], Path],
        agree: Callable[[ProviderJob], bool],
        tell: Callable[[str], None],
        cap_usd: float | None = None,
    ) -> None:
        self._api = api
        self._ledger = ledger
        self._path = path
        self._title = title
        self._write = write
        self._agree = agree
        self._tell = tell
        self._cap_usd = cap_usd

    async def go(self, job: ProviderJob) -> ProviderJob:
        """Brings the job to its end. Raises UserError, WorkFailed, BudgetReached; what is done is noted."""
        if job.state == "uploaded":
            job = await self._still_there(job)
        if job.state == "intended":
            job = await self._send(job)
        if job.state in ("uploaded", "creating"):
            job = await self._create(job)
        if job.state == "created":
            job = await self._follow(job)
        return job

    def _save(self, job: ProviderJob, **changes: object) -> ProviderJob:
        return save_provider_job(self._path, job.model_copy(update=changes))

    # -- the files --------------------------------------------------------------------------------------------------

    async def _send(self, job: ProviderJob) -> ProviderJob:
        """Both files, each once, then the provider's check of them."""
        job = await self._send_file(job, "train")
        if job.validation is not None:
            job = await self._send_file(job, "validation")
        for split in ("train", "validation"):
            file: SentFile | None = getattr(job, split)
            if file is not None:
                try:
                    await self._checked(job, file)
                except Gone as error:
                    raise WorkFailed(
                        f"{self._title} does not have the file {file.name} that was just sent ({error}). Run the same command "
                        "again."
                    ) from None
        return self._save(job, state="uploaded")

    async def _send_file(self, job: ProviderJob, split: str) -> ProviderJob:
        file: SentFile = getattr(job, split)
        if file.id is not None:
            return job
        found = await self._api.find_file(file.name)
        if found is None:
            self._tell(
                f"Sending {file.examples:,} examples for {split} to {self._title} ({file.size / 2**20:,.1f} MiB)"
            )
            path = self._write(split)
            try:
                found = await self._once(
                    lambda: self._api.upload(path, file.name, file.examples), lambda: self._api.find_file(file.name)
                )
            finally:
                path.unlink(missing_ok=True)
        return self._save(job, **{split: file.model_copy(update={"id": found})})

    async def _once(self, make: Callable[[], Awaitable[str]], find: Callable[[], Awaitable[str | None]]) -> str:
        """Makes something; where the reply is lost, looks for it before it is made again. Raises WorkFailed."""
        for _ in range(ROUNDS):
            try:
                return await make()
            except Lost:
                if (found := await self._search(find)) is not None:
                    return found
        raise Unsure(
            f"{self._title} does not answer: whether it took what was sent is not known. Run the same command again later; it "
            "looks "
            "for it before it sends anything again."
        )

    async def _search(self, find: Callable[[], Awaitable[str | None]]) -> str | None:
        """Looks more than once: what is new shows up late in lists, and a killed run's request may still be on its way."""
        for attempt in range(ROUNDS):
            if (found := await find()) is not None:
                return found
            await asyncio.sleep(FIRST_POLL_S * (attempt + 1) if attempt < ROUNDS - 1 else 0)
        return None

    async def _checked(self, job: ProviderJob, file: SentFile) -> None:
        """Waits for the provider's check. Raises WorkFailed with its words when it refuses the file, Gone."""
        pause, waited = FIRST_POLL_S / 5, 0.0
        while True:
            state = await self._api.file_state(str(file.id))
            if state.error:
                self._save(job, state="failed", error=state.error)
                raise WorkFailed(
                    f"{self._title} refuses the data file {file.name}: {state.error}. Nothing was paid. Fix the data "
                    "(`distil curate`) "
                    "and start again with --force."
                )
            if state.ready:
                return
            if waited > CHECK_S:
                raise WorkFailed(
                    f"{self._title} has not checked {file.name} within an hour. Run the same command again later."
                )
            await asyncio.sleep(pause)
            waited, pause = waited + pause, min(MAX_POLL_S, pause * 1.5)

    async def _still_there(self, job: ProviderJob) -> ProviderJob:
        """An earlier run's files may have been deleted or have expired since: then they are sent again."""
        try:
            for file in filter(None, (job.train, job.validation)):
                await self._api.file_state(str(file.id))
        except Gone as error:
            self._tell(f"{self._title} does not have the uploaded data any more ({error}): it is sent again.")
            forgotten = {
                split: file.model_copy(update={"id": None})
                for split in ("train", "validation")
                if (file := getattr(job, split)) is not None
            }
            return self._save(job, state="intended", **forgotten)
        return job

    # -- the job ----------------------------------------------------------------------------------------------------

    def order(self, job: ProviderJob) -> Order:
        """What is asked for."""
        validation = job.validation.id if job.validation else None
        return Order(
            base=job.base,
            intent=job.intent,
            suffix=job.suffix,
            train_file=str(job.train.id),
            validation_file=validation,
            settings=job.settings,
        )

    async def _create(self, job: ProviderJob) -> ProviderJob:
        """Agrees on the price, reserves it, and creates the job, unless it is there."""
        order = self.order(job)
        if job.state == "creating":
            if (found := await self._search(lambda: self._api.find_job(order))) is not None:
                return self._save(job, state="created", job_id=found)
        else:
            job = await self._priced(job, order)
        money.require_budget(self._ledger, job, self._cap_usd)
        await asyncio.to_thread(money.reserve, self._ledger, job)
        job = self._save(job, state="creating")
        try:
            found = await self._once(lambda: self._api.create(order), lambda: self._api.find_job(order))
        except Unsure:
            raise  # the next run looks for it
        except DistilError as error:
            # Refused for a reason that is certain: nothing was created.
            await asyncio.to_thread(money.give_up, self._ledger, job, str(error))
            self._save(job, state="uploaded")
            raise
        self._tell(f"The job {found} was created at {self._title}. It goes on there, whatever happens here.")
        return self._save(job, state="created", job_id=found)

    async def _priced(self, job: ProviderJob, order: Order) -> ProviderJob:
        """The provider's own estimate where it has one; asked for again where it is more than was agreed."""
        estimate = await self._api.estimate(order)
        agreed = job.estimate_usd is not None
        if estimate is not None:
            if estimate.refusal:
                raise UserError(
                    f"{self._title} would not start this job of {dollars(estimate.usd)}: {estimate.refusal}. Add credit in "
                    "its console, "
                    "or train on less, then run the same command again; the data is there already."
                )
            agreed = job.estimate_usd is not None and estimate.usd <= job.most_usd
            priced = {
                "estimate_usd": estimate.usd,
                "most_usd": estimate.usd,
                "price_source": f"estimated by {self._title}",
                "tokens": round(estimate.tokens / job.epochs) if estimate.tokens else job.tokens,
            }
            job = job.model_copy(update=priced)
        if job.estimate_usd is None:
            raise UserError(
                f"{self._title} gave no estimate of the price. Look it up ({job.price_source}) and say it in dollars per "
                "million tokens: "
                "--set train.usd_per_million_tokens=..."
            )
        if not agreed and not self._agree(job):
            raise UserError(
                "Not started: the price was not accepted. The data is at the provider, and nothing was paid."
            )
        return job

    async def _follow(self, job: ProviderJob) -> ProviderJob:
        """Until it ends; its events as they come."""
        seen: set[tuple[str, str]] = set()
        pause, first, silent = FIRST_POLL_S, True, 0
        with bar(f"{self._title} {job.job_id}", 100, "%") as running:
            while True:
                state = await self._look(job)
                share = await self._news(job, seen, first)
                first = False
                silent = 0 if state.word else silent + 1
                if silent >= ROUNDS:
                    raise WorkFailed(
                        f"{self._title} answers, but does not tell the state of the job {job.job_id}. It goes on there; run "
                        "the same "
                        "command again later."
                    )
                if not state.known and state.word != job.word:
                    self._tell(
                        f"{self._title} calls the job {state.word or 'nothing'!r}, which Distil does not know: it waits."
                    )
                if state.word != job.word and state.phase == "running":
                    job = self._save(job, word=state.word[:40])
                if state.phase != "running":
                    return await self._ended(job, state)
                done = state.share if state.share is not None else share
                running.update(round(100 * (done or 0.0)), state.word, state.left_s)
                await asyncio.sleep(pause)
                pause = min(MAX_POLL_S, pause * 1.5)

    async def _look(self, job: ProviderJob) -> JobState:
        try:
            return await self._api.look(str(job.job_id))
        except Gone as error:
            raise UserError(
                f"{self._title} does not have the job {job.job_id} ({error}): it was deleted, or the key belongs to another "
                "account. "
                "Use the key that it was created with, or start another job with --force (which pays again)."
            ) from None

    async def _news(self, job: ProviderJob, seen: set[tuple[str, str]], first: bool) -> float | None:
        """Tells new events; the share done that the last of them says."""
        try:
            events = await self._api.events(str(job.job_id))
        except Gone:
            return None
        fresh = [event for event in events if event.text and (event.at, event.text) not in seen]
        seen.update((event.at, event.text) for event in events)
        for event in fresh[-NEWS:] if first else fresh:
            self._tell(f"{self._title}: {event.text}")
        shares = [event.share for event in events if event.share is not None]
        return shares[-1] if shares else None

    async def _ended(self, job: ProviderJob, state: JobState) -> ProviderJob:
        """Settles the money first: killed after it, settling again adds nothing."""
        usd = await asyncio.to_thread(money.settle, self._ledger, job, state)
        if state.phase == "succeeded" and not MODEL_NAME.fullmatch(state.model or ""):
            state = state._replace(phase="failed", message="it succeeded, and names no model that could be asked")
        serving = self._api.serving(job.base, str(state.model)) if state.phase == "succeeded" else None
        return self._save(job, state=state.phase, word=state.word[:40], error=state.message, usd=usd, serving=serving)


async def require_stopped(api: FineTuningApi, run: FineTuningRun, ledger: Ledger, job: ProviderJob) -> None:
    """Before another job takes its place. Raises UserError while it runs; one that is not there is booked as maybe paid."""
    if job.over or job.state in ("intended", "uploaded"):
        return
    job_id = job.job_id or await api.find_job(run.order(job))
    try:
        state = await api.look(job_id) if job_id is not None else None
    except Gone:
        state = None
    if state is not None and state.phase == "running":
        raise UserError(
            f"The job {job_id} still runs at {job.provider} and is paid for, so --force would pay for two. Stop it first with "
            "--cancel, "
            "or leave --force out to go on with it."
        )
    if state is not None:
        await asyncio.to_thread(money.settle, ledger, job, state)
    else:
        await asyncio.to_thread(money.let_go, ledger, job, "another job took its place")


async def cancel(api: FineTuningApi, run: FineTuningRun, job: ProviderJob) -> ProviderJob:
    """Asks the provider to stop a job that runs. Returns it with its id. Raises UserError when there is nothing to stop."""
    job_id = job.job_id
    if job_id is None and job.state == "creating":
        job_id = await api.find_job(run.order(job))
    if job_id is None:
        raise UserError(
            "No job was created yet, so there is nothing to cancel and nothing was paid. --force starts over; deleting the "
            "student's "
            "folder forgets it."
        )
    try:
        await api.cancel(job_id)
    except Gone as error:
        raise UserError(f"The provider does not have the job {job_id} any more ({error}).") from None
    return job.model_copy(update={"state": "created", "job_id": job_id})
