"""Live collecting: one stream of requests per teacher, empty answers asked for once more, failures listed.

Money, limits and durability are `Client`'s; the order of steps is run.py's. A stop loses nothing: the ledger has all replies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from distil.calls.client import Client
from distil.calls.faults import CallFailed
from distil.calls.request import Reply, Request, Tier
from distil.collect.batched import BatchCollection
from distil.collect.config import CollectConfig
from distil.collect.display import Display
from distil.collect.ordered_writer import OrderedWriter
from distil.collect.questions import MAX_EMPTY_RETRIES, Question, is_empty, why_empty
from distil.endings import ending
from distil.errors import UserError

MAX_CUT_OFF = 20
"""First answers of a teacher that may all be empty because reasoning used up max_tokens; then the run stops."""
SHED_HINT = " The flex tier is full now: run `--only failed` later, or at once with `--set collect.tier=standard`."


class _Pending(NamedTuple):
    """A question on its way."""

    question: Question
    teacher: int
    """Index of the teacher."""
    tier: Tier
    retry: int
    """Empty answers so far."""


class LiveCollection:
    """Asks every question that is wanted, once per run.

    retry_empty: ask once more also for what earlier runs gave up as empty (--only failed); section: how full flex tiers
    and late answers are dealt with.
    """

    def __init__(
        self,
        client: Client,
        batched: BatchCollection,
        answers: OrderedWriter,
        failures: OrderedWriter,
        display: Display,
        *,
        retry_empty: bool,
        section: CollectConfig,
    ) -> None:
        self._client = client
        self._batched = batched
        self._answers = answers
        self._failures = failures
        self._display = display
        self._retry_empty = retry_empty
        self._section = section
        self.pruned = False
        """Some answers were paid for and their texts pruned from the ledger: they are neither answers nor failures here."""
        self._cut_off: Counter[int] = Counter()
        self._answering: set[int] = set()

    async def run(self, tiers: Sequence[Tier], questions: Sequence[Iterator[Question]]) -> None:
        """Tier and questions per teacher. Raises what ends the run (BudgetReached, ...) once everything in flight is kept."""
        streams = [
            (_Pending(question, number, tier, 0) for question in stream)
            for number, (tier, stream) in enumerate(zip(tiers, questions, strict=True))
        ]
        async with self._display.ticking(self._client.stats):
            await self._rounds(streams)

    async def _rounds(self, streams: Sequence[Iterator[_Pending]]) -> None:
        retries = await self._round(streams)
        for _ in range(MAX_EMPTY_RETRIES):
            if not retries:
                return
            batch = ((pending.question, pending.retry) for pending in retries if pending.tier == "batch")
            await self._batched.buy(batch, quiet=True)
            retries = await self._round([iter(retries)])

    async def _round(self, streams: Sequence[Iterator[_Pending]]) -> list[_Pending]:
        """Asks, and returns what is worth a retry."""
        retries: list[_Pending] = []
        async for pending, result in self._client.map(*map(self._requests, streams)):
            if isinstance(result, CallFailed) and result.fault.kind == "pruned":
                self.pruned = True
                self._display.advance(self._client.stats, failed=False)
            elif isinstance(result, CallFailed) and result.fault.kind == "unreadable" and self._may_retry(pending):
                retries.append(pending._replace(retry=pending.retry + 1))
            elif isinstance(result, CallFailed):
                hint = SHED_HINT if result.fault.kind == "shed" else ""
                self._fail(pending.question, result.fault.kind, f"{result}{hint}")
            elif not is_empty(result):
                self._answering.add(pending.teacher)
                self._answers.add(pending.question.position, pending.question.answer(result))
                self._display.advance(self._client.stats, failed=False)
            elif self._worth_retrying(result, pending.retry):
                retries.append(pending._replace(retry=pending.retry + 1))
            else:
                self._fail(pending.question, "empty", why_empty(result))
                self._stop_if_all_cut_off(pending, result)
        return retries

    def _requests(self, stream: Iterator[_Pending]) -> Iterator[tuple[_Pending, Request]]:
        for pending in stream:
            request = pending.question.request(
                pending.tier, pending.retry, self._section.flex_full, self._section.hedge
            )
            problem = self._batched.held(request)
            if problem is None and pending.tier == "batch":
                problem = self._batched.missing(request)
            if problem is not None:
                self._fail(pending.question, "batch", problem)
                continue
            yield pending, request

    def _stop_if_all_cut_off(self, pending: _Pending, reply: Reply) -> None:
        """When all of the first answers are cut off before their first word, the others will be too: stop paying."""
        if ending(reply.finish_reason) != "cut" or pending.teacher in self._answering:
            return
        self._cut_off[pending.teacher] += 1
        if self._cut_off[pending.teacher] == MAX_CUT_OFF:
            teacher = pending.question.teacher
            self._client.stop(
                UserError(
                    f"The first {MAX_CUT_OFF} answers of {teacher.model} are all empty: they were cut off at max_tokens "
                    f"({teacher.sampling.max_tokens:,}), which must hold the reasoning too. Stopped to save money: raise "
                    "sampling.max_tokens of this teacher, or lower its sampling.reasoning_effort."
                )
            )

    def _may_retry(self, pending: _Pending) -> bool:
        """What an earlier run kept as an answer and is none is asked again, as if it had been empty."""
        return pending.retry < MAX_EMPTY_RETRIES - 1

    def _worth_retrying(self, reply: Reply, retry: int) -> bool:
        """Once; with `retry_empty`, once more than the ledger has."""
        if ending(reply.finish_reason) != "ok":
            return False  # truncated, filtered or refused: the same would come again
        return retry == 0 or (self._retry_empty and reply.cached and retry < MAX_EMPTY_RETRIES)

    def _fail(self, question: Question, kind: str, why: str) -> None:
        self._failures.add(question.position, question.failure(kind, why))
        self._display.advance(self._client.stats, failed=True)
