"""Buys answers in batches: fills them within the vendor's and the budget's limits, waits, and takes the results into the ledger.

Rows that failed or expired go into another batch, up to three times. Everything survives a restart at any moment. Prices are
the batch tier's. Not for live requests; the caller passes only rows that the ledger does not hold.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from distil.calls.batch.anthropic_api import AnthropicBatches
from distil.calls.batch.api import BatchApi, Http, Lost, Progress, Result
from distil.calls.batch.job import BatchFolder, BatchJob, BatchRow, key_of
from distil.calls.batch.openai_api import OpenAIBatches
from distil.calls.batch.queue import RowQueue
from distil.calls.faults import GarbledReply
from distil.calls.identity import endpoint_of, wire_bytes
from distil.calls.ledger.rows import IntentRow
from distil.calls.ledger.store import Ledger, Recorded
from distil.calls.limits.budget import budget_reached
from distil.calls.prices import PriceQuote
from distil.calls.providers.anthropic import AnthropicProvider
from distil.calls.providers.catalog import Opened
from distil.calls.providers.openai import OpenAIProvider
from distil.errors import BudgetReached, WorkFailed
from distil.ids import now
from distil.progress import dollars

ROUNDS = 3
FIRST_POLL_S, MAX_POLL_S = 5.0, 60.0
BatchProvider = AnthropicProvider | OpenAIProvider
RECORD_TOGETHER = 500
Show = Callable[[int, int, str], None]


class Problem(NamedTuple):
    """Why a row has no answer."""

    why: str
    retryable: bool


class BatchBudget(NamedTuple):
    """What the answers cost and how much may be spent."""

    model: str
    """The model as the config names it."""
    quote: PriceQuote
    """The batch tier's price."""
    cap_usd: float | None = None
    """Most dollars of this purpose in this project, all runs together."""
    purpose: str = "collect"


class BatchRun:
    """All batches of one teacher in one project. Make it with `open_batches`."""

    def __init__(
        self,
        api: BatchApi,
        provider: BatchProvider,
        endpoint: str,
        ledger: Ledger,
        folder: BatchFolder,
        budget: BatchBudget,
        *,
        show: Show,
        tell: Callable[[str], None],
    ) -> None:
        self._api = api
        self._provider = provider
        self._endpoint = endpoint
        self._ledger = ledger
        self._folder = folder
        self._budget = budget
        self._max_rows = api.max_rows
        self._tries: Counter[str] = Counter()
        self._lost = 0
        self._show, self._tell = show, tell
        self._cut_reported = False
        self.answered = 0
        self.usd = 0.0
        self.problems: dict[str, Problem] = {}
        """Ledger key -> why it has no answer after all rounds."""

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
        if self._cut_reported:
            return
        self._cut_reported = True
        cap = dollars(self._budget.cap_usd or 0.0)
        self._tell(
            f"{self._budget.model}: only {rows:,} requests fit into this batch, because together they may cost all that is left "
            f"under the cap of {cap}; the others wait until it ends. A higher collect.budget_usd sends all of them at once "
            "(most requests cost far less than their maximum)."
        )

    async def _submit(self, rows: Sequence[BatchRow]) -> BatchJob | None:
        """None: it was not created; try again."""
        job = self._folder.new(self._budget.model, self._endpoint, rows)
        await asyncio.to_thread(self._ledger.intend, [self._intent(row) for row in rows])
        try:
            batch_id: str | None = await self._api.submit(job, self._folder.rows(job), self._folder.upload_path(job))
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
                progress = await self._api.look(str(job.batch_id))
                if progress.state == "running":
                    running.append(job)
                    done += progress.done
                    continue
                ended = progress.state == "ended"
                retries += await (self._take_in(job) if ended else self._refused(job, progress))
                ended_rows += job.rows
            waiting = running
            self._show(ended_rows + done, total, f"{len(running)} batches open, {dollars(self.usd)} spent")
            if waiting:
                await asyncio.sleep(pause)
                pause = min(MAX_POLL_S, pause * 1.5)
        return retries

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
        offsets = self._folder.offsets(job)
        missing, replies, retries = set(offsets), list[Recorded](), list[BatchRow]()
        problems: dict[str, Problem] = {}
        with self._folder.rows_path(job).open("rb") as file:
            async for result in self._api.results(str(job.batch_id)):
                key = key_of(result.custom_id)
                if key not in offsets:
                    continue
                missing.discard(key)
                made = self._recorded(self._folder.row_at(file, offsets[key]), result)
                if isinstance(made, Problem):
                    problems[key] = made
                    continue
                replies.append(made)
                if len(replies) >= RECORD_TOGETHER:
                    await self._record(replies)
            await self._record(replies)
            problems |= {key: Problem("the batch ended without this row", True) for key in missing}
            for key, problem in problems.items():
                self._tries[key] += 1
                self.problems[key] = problem
                if problem.retryable and self._tries[key] < ROUNDS:
                    retries.append(self._folder.row_at(file, offsets[key]))
        await asyncio.to_thread(self._ledger.fail, [(key, problem.why) for key, problem in problems.items()])
        self._folder.finish(job)
        return retries

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

    def _recorded(self, row: BatchRow, result: Result) -> Recorded | Problem:
        if result.reply is None:
            return Problem(result.problem, result.retryable)
        try:
            parsed = self._provider.parse(200, {}, result.reply)
        except GarbledReply as error:
            return Problem(str(error), True)
        quote = self._budget.quote
        self.problems.pop(row.key, None)
        return Recorded(
            key=row.key,
            purpose=self._budget.purpose,
            model=self._budget.model,
            request=wire_bytes(row.body),
            reply=result.reply,
            usage=parsed.usage,
            usd=quote.cost(parsed.usage),
            endpoint=self._endpoint,
            tier="batch",
            sample=row.sample,
            price=(quote.input, quote.output, quote.source),
            request_id=result.request_id,
        )

    async def _record(self, replies: list[Recorded]) -> None:
        if replies:
            await asyncio.to_thread(self._ledger.record, list(replies))
            self.answered += len(replies)
            self.usd += sum(reply.usd for reply in replies)
            replies.clear()

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
    """A BatchRun with its HTTP session. Raises WorkFailed for a vendor without batches (the caller asks first).

    show(done, total, note): called often; tell(line): called when a person should know something.
    """
    provider = opened.replicas[0]
    if not isinstance(provider, (AnthropicProvider, OpenAIProvider)):
        raise WorkFailed(f"{budget.model} has no batch API that Distil supports. Set `collect.tier: standard`.")
    async with Http(provider, provider.headers(), provider.base_url) as http:
        api: BatchApi
        if isinstance(provider, AnthropicProvider):
            api = AnthropicBatches(
                provider, http, FIRST_POLL_S, lambda: {str(job.batch_id) for job in folder.open_jobs()}
            )
        else:
            api = OpenAIBatches(provider, http)
        yield BatchRun(api, provider, endpoint_of(opened), ledger, folder, budget, show=show, tell=tell)
