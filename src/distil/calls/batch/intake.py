"""From a batch that has ended to the ledger: its answers, what is missing, and what may have been paid for without an answer.

Every row ends once, however often the process dies: what is booked twice changes nothing. Not the waiting (run.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from distil.calls.batch.api import BatchApi, BatchProvider, Gone, Result
from distil.calls.batch.job import BatchFolder, BatchJob, BatchRow, key_of
from distil.calls.faults import GarbledReply
from distil.calls.identity import compress, wire_bytes
from distil.calls.ledger.rows import AttemptRow, FailedRow, Row
from distil.calls.ledger.store import Ledger, Recorded
from distil.calls.limits.bills import bill, row_bounds
from distil.calls.prices import PriceQuote
from distil.endings import ending
from distil.ids import now

RECORD_TOGETHER = 500


class Problem(NamedTuple):
    """Why a row has no answer."""

    why: str
    retryable: bool
    maybe_paid: bool = False
    """Something came for it that can't be used, so it may have been charged."""
    reply: bytes | None = None
    """What came."""


class BatchBudget(NamedTuple):
    """What the answers cost and how much may be spent."""

    model: str
    """The model as the config names it."""
    quote: PriceQuote
    """The batch tier's price."""
    cap_usd: float | None = None
    """Most dollars of this purpose in this project, all runs together."""
    purpose: str = "collect"


class Taken(NamedTuple):
    """What became of a batch's rows."""

    problems: dict[str, Problem]
    """Ledger key -> why there is no answer."""
    gone: str = ""
    """The provider's words, where the results (or the rest of them) are no longer there."""


class Intake:
    """Books the rows of one teacher's batches. `answered` and `usd` count what this run took in."""

    def __init__(
        self, provider: BatchProvider, endpoint: str, ledger: Ledger, folder: BatchFolder, budget: BatchBudget
    ) -> None:
        self._provider = provider
        self._endpoint = endpoint
        self._ledger = ledger
        self._folder = folder
        self._budget = budget
        self.answered = 0
        self.usd = 0.0

    async def take(self, api: BatchApi, job: BatchJob) -> Taken:
        """The answers of an ended batch, durably in the ledger. Raises WorkFailed when the results can't be had now."""
        offsets = self._folder.offsets(job)
        missing, replies = set(offsets), list[Recorded]()
        problems, unreadable, gone = dict[str, Problem](), list[bytes](), ""
        with self._folder.opened(job) as file:
            try:
                async for result in api.results(str(job.batch_id)):
                    key = key_of(result.custom_id)
                    if key not in offsets:
                        unreadable += [result.unreadable] if result.unreadable is not None else []
                        continue
                    missing.discard(key)
                    made = self._read(self._folder.row_at(file, offsets[key]), result)
                    if isinstance(made, Problem):
                        problems[key] = made
                        continue
                    problems.pop(key, None)
                    replies.append(made)
                    if len(replies) >= RECORD_TOGETHER:
                        await self._record(replies)
            except Gone as error:
                gone = str(error) or "it is not there"
            finally:
                await self._record(replies)
        if gone:
            return Taken(problems, gone)
        return Taken(problems | _unnamed(missing, unreadable))

    def _read(self, row: BatchRow, result: Result) -> Recorded | Problem:
        if result.unreadable is not None:
            return Problem(UNREADABLE, False, True, result.unreadable[:1000])
        if result.reply is None:
            return Problem(result.problem, result.retryable)
        try:
            parsed = self._provider.parse(200, {}, result.reply)
        except GarbledReply as error:
            return Problem(str(error), True, True, result.reply)
        if ending(parsed.finish_reason) == "fault":
            why = f"the provider broke the answer off (finish_reason {parsed.finish_reason})"
            return Problem(why, True, True, result.reply)
        quote = self._budget.quote
        made = bill(parsed, quote, *row_bounds(row.body))
        return Recorded(
            key=row.key,
            purpose=self._budget.purpose,
            model=self._budget.model,
            request=wire_bytes(row.body),
            reply=result.reply,
            usage=made.usage,
            usd=made.usd,
            endpoint=self._endpoint,
            tier="batch",
            sample=row.sample,
            price=(quote.input, quote.output, made.source),
            table_usd=made.table_usd if parsed.told is not None else None,
            request_id=result.request_id,
        )

    async def _record(self, replies: list[Recorded]) -> None:
        if replies:
            await asyncio.to_thread(self._ledger.record, list(replies))
            self.answered += len(replies)
            self.usd += sum(reply.usd for reply in replies)
            replies.clear()

    async def give_up(self, job: BatchJob, problems: dict[str, Problem]) -> None:
        """Books rows without an answer, so that they may be asked again, also live."""
        offsets = self._folder.offsets(job)
        with self._folder.opened(job) as file:
            rows = [
                row
                for key, problem in problems.items()
                for row in rows_of(self._ledger, self._folder.row_at(file, offsets[key]), problem)
            ]
        await asyncio.to_thread(book, self._ledger, rows)


UNREADABLE = (
    "its line in the batch's results can't be read; it was paid for, and `distil collect --only failed` asks again"
)


def _unnamed(missing: Iterable[str], unreadable: list[bytes]) -> dict[str, Problem]:
    """The rows that no line speaks of: not answered, or their line is one of those that can't be read."""
    if unreadable:
        return {key: Problem(UNREADABLE, False, True) for key in missing}
    return {key: Problem("the batch ended without this row", True) for key in missing}


def rows_of(ledger: Ledger, row: BatchRow, problem: Problem) -> list[Row]:
    """The ledger's rows for a row of a batch that has no answer; none where that is booked already."""
    stored = ledger.find(row.key, text=False)
    if stored is None or not stored.open:
        return []
    booked: list[Row] = []
    if problem.maybe_paid:
        reply = compress(problem.reply) if problem.reply is not None else None
        booked.append(AttemptRow(row.key, now(), "garbled", problem.why[:2000], None, row.most_usd, reply))
    return [*booked, FailedRow(row.key, problem.why[:2000])]


def book(ledger: Ledger, rows: list[Row]) -> None:
    """Commits them. Raises WorkFailed."""
    if rows:
        ledger.start().put(rows).result()


def let_go(ledger: Ledger, folder: BatchFolder, job: BatchJob, why: str) -> tuple[int, float]:
    """Forgets a batch: (how many rows may be asked again, the most dollars that they may have cost).

    An open one may be answered and charged after this; of a cancelled one everything is in the ledger already.
    """
    rows: list[Row] = []
    count, usd = 0, 0.0
    if folder.rows_path(job).exists():
        for row in folder.rows(job):
            if booked := rows_of(ledger, row, Problem(why, True, job.open)):
                rows += booked
                count, usd = count + 1, usd + (row.most_usd if job.open else 0.0)
    book(ledger, rows)
    folder.drop(job)
    return count, usd
