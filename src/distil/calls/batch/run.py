"""Buys answers in batches: fills them within the vendor's and the budget's limits, waits, and takes the results into the ledger.

Rows that failed or expired go into another batch, up to three times. A batch that is gone is let go; one that somebody cancelled
is not bought again before the user says so. Everything survives a restart at any moment. Prices are the batch tier's. Not for
live requests; the caller passes only rows that the ledger does not hold.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager

from distil.calls.batch.api import BatchApi, Gone, Lost, Progress
from distil.calls.batch.apis import open_api
from distil.calls.batch.intake import BatchBudget, Intake, Problem, let_go
from distil.calls.batch.job import BatchFolder, BatchJob, BatchRow
from distil.calls.batch.queue import RowQueue
from distil.calls.identity import endpoint_of
from distil.calls.ledger.rows import IntentRow
from distil.calls.ledger.store import Ledger
from distil.calls.limits.budget import budget_reached
from distil.calls.providers.catalog import Opened
from distil.errors import BudgetReached, WorkFailed
from distil.ids import now
from distil.progress import dollars

ROUNDS = 3
FIRST_POLL_S, MAX_POLL_S = 5.0, 60.0
Show = Callable[[int, int, str], None]


class BatchRun:
    """All batches of one teacher in one project. Make it with `open_batches`."""

    def __init__(
        self,
        api: BatchApi,
        intake: Intake,
        endpoint: str,
        ledger: Ledger,
        folder: BatchFolder,
        budget: BatchBudget,
        *,
        show: Show,
        tell: Callable[[str], None],
    ) -> None:
        self._api = api
        self._intake = intake
        self._endpoint = endpoint
        self._ledger = ledger
        self._folder = folder
        self._budget = budget
        self._max_rows = api.max_rows
        self._tries: Counter[str] = Counter()
        self._lost = 0
        self._show, self._tell = show, tell
        self._told: set[str] = set()
        self.problems: dict[str, Problem] = {}
        """Ledger key -> why it has no answer after all rounds."""

    @property
    def answered(self) -> int:
        """Answers that this run took in."""
        return self._intake.answered

    @property
    def usd(self) -> float:
        """What they cost."""
        return self._intake.usd

    async def resume(self) -> None:
        """Waits for the batches that an earlier run left open, and takes their results in."""
        await self._wait(self._folder.open_jobs(self._budget.model))

    async def buy(self, rows: Iterable[BatchRow]) -> None:
        """Resumes, then buys. Raises BudgetReached when the next row may not fit (what was bought is kept), WorkFailed."""
        await self.resume()
        queue = RowQueue(rows)
        while True:
            jobs = []
            while chunk := queue.take(self._max_rows, self._api.max_bytes, self._left_usd()):
                if queue.cut:
                    self._report_cut(len(chunk))
                job = await self._submit(chunk)
                if job is None:
                    queue.put_back(chunk)
                else:
                    jobs.append(job)
            if not jobs:
                if queue.blocked is not None:
                    raise self._reached(queue.blocked)
                return
            queue.put_back(await self._wait(jobs))

    def _report_cut(self, rows: int) -> None:
        """Once: batches that run one after the other may take a day each, so the user should know before waiting."""
        cap = dollars(self._budget.cap_usd or 0.0)
        self._tell_once(
            "cut",
            f"{self._budget.model}: only {rows:,} requests fit into this batch, because together they may cost all that is left "
            f"under the cap of {cap}; the others wait until it ends. A higher collect.budget_usd sends all of them at once "
            "(most requests cost far less than their maximum).",
        )

    def _tell_once(self, about: str, line: str) -> None:
        if about not in self._told:
            self._told.add(about)
            self._tell(line)

    async def _submit(self, rows: Sequence[BatchRow]) -> BatchJob | None:
        """None: it was not created; try again."""
        job = self._folder.new(self._budget.model, self._endpoint, rows)
        await asyncio.to_thread(self._ledger.intend, [self._intent(row) for row in rows])

        async def uploaded(upload_id: str) -> None:
            nonlocal job
            job = await asyncio.to_thread(self._folder.save, job, upload_id=upload_id)

        try:
            rows_of = self._folder.rows(job)
            batch_id: str | None = await self._api.submit(job, rows_of, self._folder.upload_path(job), uploaded)
        except Lost:
            batch_id = await self._search(job)
        except Exception:
            await self._drop(job)
            raise
        if batch_id is not None:
            return self._folder.save(job, state="created", batch_id=batch_id)
        await self._drop(job)
        self._lost += 1
        if self._lost >= ROUNDS:
            raise WorkFailed(
                "The batch API does not answer when a batch is created. Nothing was bought; run again later."
            )
        return None

    async def _search(self, job: BatchJob) -> str | None:
        """Looks more than once: a new batch shows up late in lists, and a killed run's request may still be on its way."""
        for attempt in range(ROUNDS):
            if (batch_id := await self._api.find(job)) is not None:
                return batch_id
            await asyncio.sleep(FIRST_POLL_S * attempt)
        return None

    async def _wait(self, jobs: Sequence[BatchJob]) -> list[BatchRow]:
        """Polls until all have ended; returns the rows to send again."""
        waiting = [job for job in [await self._identified(job) for job in jobs] if job is not None]
        retries: list[BatchRow] = []
        pause, ended_rows, total = FIRST_POLL_S, 0, sum(job.rows for job in waiting)
        while waiting:
            running, done = [], 0
            for job in waiting:
                try:
                    progress = await self._api.look(str(job.batch_id))
                except Gone as error:
                    retries += await self._gone(job, str(error))
                    ended_rows += job.rows
                    continue
                if progress.state == "running":
                    running.append(self._noted(job, progress))
                    done += min(progress.done, job.rows)
                    continue
                retries += await self._ended(job, progress)
                ended_rows += job.rows
            waiting = running
            words = ", ".join(sorted({job.word for job in running if job.word}))
            self._show(ended_rows + done, total, f"{len(running)} batches open ({words}), {dollars(self.usd)} spent")
            if waiting:
                await asyncio.sleep(pause)
                pause = min(MAX_POLL_S, pause * 1.5)
        return retries

    def _noted(self, job: BatchJob, progress: Progress) -> BatchJob:
        """What `distil batches` shows without asking the provider; an unknown word is told to the user."""
        if progress.unknown:
            self._tell_once(
                f"{job.intent} {progress.word}",
                f"{job.model}: the provider calls the batch {job.batch_id} {progress.word or 'nothing'!r}, which Distil does not "
                "know: it waits. Ctrl-C keeps everything; `distil batches` lists it, `distil batches cancel ID` stops it.",
            )
        if (progress.word, progress.done) == (job.word, job.answered):
            return job
        return self._folder.save(job, word=progress.word[:40], answered=progress.done)

    async def _ended(self, job: BatchJob, progress: Progress) -> list[BatchRow]:
        """Returns the rows to send again."""
        if progress.state == "failed":
            return await self._refused(job, progress)
        if progress.state == "cancelled":
            await self._cancelled(job)
            return []
        return await self._take_in(job)

    async def _identified(self, job: BatchJob) -> BatchJob | None:
        """A job whose id is known; None when it turns out that it was never created."""
        if job.batch_id is not None:
            return job
        batch_id = await self._search(job)
        if batch_id is None:
            await self._drop(job)
            return None
        return self._folder.save(job, state="created", batch_id=batch_id)

    async def _take_in(self, job: BatchJob) -> list[BatchRow]:
        """Results into the ledger, durably; then the rows are forgotten. Returns the rows to send again."""
        taken = await self._intake.take(self._api, job)
        if taken.gone:
            return await self._gone(job, taken.gone)
        offsets, again = self._folder.offsets(job), list[BatchRow]()
        for key in offsets.keys() - taken.problems.keys():
            self.problems.pop(key, None)
        with self._folder.opened(job) as file:
            for key, problem in taken.problems.items():
                self._tries[key] += 1
                self.problems[key] = problem
                if problem.retryable and self._tries[key] < ROUNDS:
                    again.append(self._folder.row_at(file, offsets[key]))
        await self._intake.give_up(job, taken.problems)
        self._folder.finish(job)
        return again

    async def _cancelled(self, job: BatchJob) -> None:
        """What was answered is kept; the rest waits for the user's word, because buying it again may be just what he stopped."""
        taken = await self._intake.take(self._api, job)
        answered = job.rows - len(taken.problems)
        if taken.gone:
            answered = 0
        job = self._folder.save(job, state="cancelled", most_usd=0.0, word="cancelled", answered=answered)
        self._tell(cancelled_words(job))

    async def _gone(self, job: BatchJob, why: str) -> list[BatchRow]:
        """Lets a batch go that the provider does not have any more; its rows may be sent again."""
        rows = list(self._folder.rows(job))
        count, usd = await asyncio.to_thread(let_go, self._ledger, self._folder, job, f"its batch is gone: {why}")
        self._tell(
            f"{job.model}: the provider does not have the batch {job.batch_id} or its results any more ({why}): they were "
            f"deleted after about 30 days, or belong to another project. It is let go. {count:,} of its {job.rows:,} requests "
            f"have no answer and are asked again; at most {dollars(usd)} may have been paid for them."
        )
        left = [row for row in rows if not self._is_answered(row.key)]
        for row in left:
            self._tries[row.key] += 1
        return [row for row in left if self._tries[row.key] < ROUNDS]

    def _is_answered(self, key: str) -> bool:
        stored = self._ledger.find(key, text=False)
        return stored is not None and stored.call.status == "answered"

    async def _drop(self, job: BatchJob) -> None:
        """The batch was never created: its rows may be sent again, also live."""
        keys = [(row.key, "its batch was never created") for row in self._folder.rows(job)]
        await asyncio.to_thread(self._ledger.fail, keys)
        self._folder.drop(job)

    def _intent(self, row: BatchRow) -> IntentRow:
        """Marks the row as being in a batch, so that no live request is sent for it meanwhile."""
        return IntentRow(
            key=row.key,
            purpose=self._budget.purpose,
            model=self._budget.model,
            endpoint=self._endpoint,
            tier="batch",
            sample=row.sample,
            run=self._ledger.run,
            reserve_usd=row.most_usd,
            created=now(),
        )

    async def _refused(self, job: BatchJob, progress: Progress) -> list[BatchRow]:
        rows = list(self._folder.rows(job))
        await self._drop(job)
        if progress.too_much and job.rows > 1:
            self._max_rows = max(1, min(self._max_rows, job.rows // 2))
            return rows
        raise WorkFailed(
            f"The provider refused a batch of {job.rows:,} requests: {progress.message or 'it gave no reason'}. None of it was "
            "charged; fix that and run again, or set `collect.tier: standard`."
        )

    def _left_usd(self) -> float:
        if self._budget.cap_usd is None:
            return float("inf")
        purpose = self._budget.purpose
        open_usd = sum(job.most_usd for job in self._folder.open_jobs())
        return self._budget.cap_usd - self._ledger.spent(purpose) - self._ledger.uncertain(purpose).usd - open_usd

    def _reached(self, row: BatchRow) -> BudgetReached:
        purpose = self._budget.purpose
        spent, uncertain = self._ledger.spent(purpose), self._ledger.uncertain(purpose).usd
        return budget_reached(self._budget.cap_usd or 0.0, spent, uncertain, row.most_usd)


def cancelled_words(job: BatchJob) -> str:
    """For a person: what was kept of a cancelled batch, and what to type."""
    left = job.rows - job.answered
    return (
        f"{job.model}: the batch {job.batch_id} was cancelled at the provider. {job.answered:,} of its {job.rows:,} answers were "
        f"made before that and are kept; the other {left:,} are not bought again by themselves. To ask for them again, type "
        f"`distil batches forget {job.batch_id}` and then `distil collect`."
    )


@asynccontextmanager
async def open_batches(
    opened: Opened,
    ledger: Ledger,
    folder: BatchFolder,
    budget: BatchBudget,
    *,
    show: Show = lambda done, total, note: None,
    tell: Callable[[str], None] = lambda line: None,
) -> AsyncIterator[BatchRun]:
    """A BatchRun with its HTTP session. Raises UserError for a vendor without batches (the caller asks first).

    show(done, total, note): called often; tell(line): called when a person should know something.
    """
    known = lambda: {str(job.batch_id) for job in folder.jobs()}  # noqa: E731
    async with open_api(opened, FIRST_POLL_S, known) as (api, provider):
        endpoint = endpoint_of(opened)
        intake = Intake(provider, endpoint, ledger, folder, budget)
        yield BatchRun(api, intake, endpoint, ledger, folder, budget, show=show, tell=tell)
