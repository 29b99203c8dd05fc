"""Asks for everything that is wanted and spools the answers: one stream per teacher, empty answers once more, failures listed.

Money, limits and durability are `Client`'s; the order of files is stage.py's. Nothing here is lost when it stops: the ledger
has every reply.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from distil.calls.client import Client
from distil.calls.config import TeacherConfig
from distil.calls.faults import CallFailed
from distil.calls.request import Reply, Request, Tier, WhenFull
from distil.collect.batched import BatchCollection
from distil.collect.display import Display
from distil.collect.ordered_writer import OrderedWriter
from distil.collect.questions import Question
from distil.errors import UserError

MOST_TRIES_OF_EMPTY = 20
MOST_EATEN = 20
"""So many first answers may be empty because reasoning used up max_tokens."""
SHED_HINT = " The flex tier has no room now: `--only failed` later, or at once with `--set collect.tier=standard`."
Source = Callable[[int], Iterator[Question]]
"""Number of a teacher -> its asks, read lazily."""


class _Try(NamedTuple):
    ask: Question
    tier: Tier
    again: int
    """How often an empty answer came."""


class LiveCollection:
    """One run of the asking."""

    def __init__(
        self, client: Client, buyer: BatchCollection, answers: OrderedWriter, failures: OrderedWriter, display: Display
    ) -> None:
        self._client = client
        self._buyer = buyer
        self._answers = answers
        self._failures = failures
        self._display = display
        self.insist = False
        """Ask again also for what was empty twice (--only failed)."""
        self.flex_full: WhenFull = "wait"
        """What a flex request does that finds no room."""
        self.pruned = False
        """Some answers were paid for and their texts deleted from the ledger: they are neither answers nor failures here."""
        self._under_way: dict[int, _Try] = {}
        self._eaten: Counter[int] = Counter()
        self._useful: set[int] = set()

    async def run(self, tiers: Sequence[Tier], source: Source) -> None:
        """`tiers`: of each teacher. Raises what ends the run (BudgetReached, ...) after everything in flight was kept."""
        streams = [_first_tries(source(number), tier) for number, tier in enumerate(tiers)]
        again = await self._round(streams)
        for _ in range(MOST_TRIES_OF_EMPTY):
            if not again:
                return
            await self._buyer.buy(((one.ask, one.again) for one in again if one.tier == "batch"), quiet=True)
            again = await self._round([iter(again)])

    async def _round(self, streams: Sequence[Iterator[_Try]]) -> list[_Try]:
        """Asks, and returns what is worth asking once more."""
        again: list[_Try] = []
        async for request, result in self._client.map(*map(self._requests, streams)):
            one = self._under_way.pop(id(request))
            if isinstance(result, CallFailed) and result.fault.kind == "pruned":
                self.pruned = True
                self._display.advance(self._client.stats, failed=False)
            elif isinstance(result, CallFailed):
                hint = SHED_HINT if result.fault.kind == "shed" else ""
                self._fail(one.ask, result.fault.kind, f"{result}{hint}")
            elif not is_empty(result):
                self._useful.add(id(one.ask.teacher))
                self._answers.add(one.ask.number, one.ask.answer(result))
                self._display.advance(self._client.stats, failed=False)
            elif self._worth_another_try(result, one.again):
                again.append(one._replace(again=one.again + 1))
            else:
                self._fail(one.ask, "empty", why_empty(result))
                self._watch_for_eaten(one.ask.teacher, result)
        return again

    def _watch_for_eaten(self, teacher: TeacherConfig, reply: Reply) -> None:
        """When all of the first answers are cut off before their first word, the others will be too: stop paying."""
        if reply.finish_reason != "length" or id(teacher) in self._useful:
            return
        self._eaten[id(teacher)] += 1
        if self._eaten[id(teacher)] == MOST_EATEN:
            self._client.stop(
                UserError(
                    f"The first {MOST_EATEN} answers of {teacher.model} are all empty: they were cut off at max_tokens "
                    f"({teacher.sampling.max_tokens:,}), which must hold the reasoning too. No more is spent on this: raise "
                    "sampling.max_tokens of this teacher, or lower its sampling.reasoning_effort."
                )
            )

    def _requests(self, tries: Iterator[_Try]) -> Iterator[Request]:
        for one in tries:
            request = one.ask.request(one.tier, one.again, self.flex_full)
            problem = self._buyer.missing(request) if one.tier == "batch" else None
            if problem is not None:
                self._fail(one.ask, "batch", problem)
                continue
            self._under_way[id(request)] = one
            yield request

    def _worth_another_try(self, reply: Reply, tries: int) -> bool:
        """Once; and when failures are asked for by name, once more than the ledger knows of."""
        if reply.finish_reason != "stop":
            return False  # truncated, filtered or refused: the same would come again
        return tries == 0 or (self.insist and reply.cached and tries < MOST_TRIES_OF_EMPTY)

    def _fail(self, ask: Question, kind: str, why: str) -> None:
        self._failures.add(ask.number, ask.failure(kind, why))
        self._display.advance(self._client.stats, failed=True)


def _first_tries(asks: Iterator[Question], tier: Tier) -> Iterator[_Try]:
    return (_Try(ask, tier, 0) for ask in asks)


def is_empty(reply: Reply) -> bool:
    """No text and no tool call: nothing to learn from."""
    return not reply.text.strip() and not reply.tool_calls


def why_empty(reply: Reply) -> str:
    """For a person."""
    if reply.finish_reason == "length":
        tokens = reply.usage.reasoning_tokens
        thinking = f" after {tokens:,} tokens of reasoning" if tokens else ""
        return f"the answer is empty: it was cut off at max_tokens{thinking}; raise sampling.max_tokens"
    if reply.finish_reason in ("content_filter", "refusal"):
        return f"the answer is empty: the provider withheld it ({reply.finish_reason})"
    return f"the answer is empty, also when asked again (finish_reason {reply.finish_reason})"
