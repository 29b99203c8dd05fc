"""A second request for an answer that takes far longer than its model's others: opt-in, few, and charged like any other.

Late is what has been on the wire for `factor` times the 95th percentile of the model's last answers. The first whole answer
counts. The other request is not cut off while the run goes on, because it is paid for: its reply goes into the ledger beside the
answer, its dollars count against the cap. What is still out when the run ends is cut off, and may have been paid.
"""

from __future__ import annotations

import asyncio
import bisect
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import NamedTuple

from distil.calls.http.attempt import Attempt
from distil.calls.identity import compress
from distil.calls.ledger.rows import HedgedRow, HedgeRow
from distil.calls.ledger.writer import Writer
from distil.calls.limits.budget import Reservation
from distil.calls.stats import Stats
from distil.ids import now

QUANTILE = 0.95
# Before so many answers it is unknown what is late; the last ones tell it.
KNOWN_AFTER = 50
REMEMBERED = 500
# Nothing is late sooner, and a request that may not be hedged now is looked at again no sooner.
LEAST_S = 0.2
# Of the requests sent: a provider that has become slow is not asked twice for everything.
MOST_SHARE = 0.05
TWICE = "a second request for the same answer; which of the two became the answer, the call says"


class Hedged(NamedTuple):
    """One request as the hedging sees it."""

    key: str
    factor: float
    send: Callable[[Reservation, asyncio.Future[float], HedgeRow | None], Coroutine[object, object, Attempt | None]]
    """One attempt. The future gets the time at which it went out; the row, that of a second one, is committed before."""
    spare: Callable[[], Reservation | None]
    """Sets aside what a second one can cost; None where it may not be sent now."""
    release: Callable[[Reservation, float], None]
    """Gives that back, and counts what was paid."""
    price: Callable[[Attempt], float]
    """Dollars of an answer."""
    keep: Callable[[Attempt], Coroutine[object, object, object]]
    """Makes an answer durable."""


_Task = asyncio.Task[Attempt | None]


class Hedging:
    """One per model and client."""

    def __init__(self, writer: Writer, stats: Stats, clock: Callable[[], float]) -> None:
        self._writer = writer
        self._stats = stats
        self._clock = clock
        self._last: deque[float] = deque()
        self._sorted: list[float] = []
        self._known: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sent = self._hedged = 0
        self._late: set[asyncio.Task[None]] = set()
        self.failed: Callable[[BaseException], None] = lambda error: None
        """Told what kept a second reply from being booked."""

    async def ask(self, one: Hedged, held: Reservation) -> tuple[Attempt | None, Reservation]:
        """The attempt that counts, and its reservation, which the caller settles. held: that of the first one.

        Raises what the first one raises where there is no answer; then the caller settles `held`.
        """
        self._sent += 1
        went: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        first: _Task = asyncio.create_task(one.send(held, went, None))
        tasks, row, out = {first: held}, None, went
        try:
            spare = await self._when_late(one, first, went)
            if spare is not None:
                row, out = (
                    HedgeRow(one.key, now(), "hedge", TWICE, spare.usd),
                    asyncio.get_running_loop().create_future(),
                )
                tasks[asyncio.create_task(one.send(spare, out, row))] = spare
            winner = await _first_answer(tasks)
        except BaseException:  # cut off: what came whole in this very moment is paid for, and kept
            await _cancel(tasks)
            answered = [attempt for task in tasks if (attempt := _answer(task)) is not None]
            if answered:
                await one.keep(answered[0])
            if row is not None:
                await self._book(one, row, spare, answered[1] if len(answered) > 1 else None)
            raise
        attempt = _answer(winner)
        if attempt is not None:
            self._learn(attempt.latency_s)
        if row is None:
            return winner.result(), held
        [other] = tasks.keys() - {winner}
        if other.done() or (other is not first and not out.done()):  # ended, or never sent
            await _cancel([other])
            await self._book(one, row, tasks[other], _answer(other))
        else:
            self._follow(self._await_other(one, row, other, tasks[other]))
        return winner.result(), tasks[winner]

    async def close(self) -> None:
        """The run is over: cuts off what is still out, and books it."""
        await asyncio.sleep(0)  # a task that is cancelled before its first step would never book
        for task in self._late:
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)

    # -- inside -----------------------------------------------------------------------------------------------------

    async def _when_late(self, one: Hedged, first: _Task, went: asyncio.Future[float]) -> Reservation | None:
        """The reservation of a second request once `first` is late; None when it ended before."""
        sent: set[_Task | asyncio.Future[float]] = {first, went}
        known: set[_Task | asyncio.Future[None]] = {first, self._known}
        await asyncio.wait(sent, return_when=asyncio.FIRST_COMPLETED)
        while not first.done():
            if not self._known.done():
                await asyncio.wait(known, return_when=asyncio.FIRST_COMPLETED)
                continue
            usual = max(self._sorted[int(QUANTILE * len(self._sorted))], LEAST_S / one.factor)
            left = went.result() + one.factor * usual - self._clock()
            if left <= 0 and self._hedged + 1 <= MOST_SHARE * self._sent and (spare := one.spare()) is not None:
                self._hedged += 1
                self._stats.hedged += 1
                return spare
            await asyncio.wait({first}, timeout=left if left > 0 else max(usual, LEAST_S))
        return None

    def _learn(self, latency_s: float) -> None:
        self._last.append(latency_s)
        bisect.insort(self._sorted, latency_s)
        if len(self._last) > REMEMBERED:
            del self._sorted[bisect.bisect_left(self._sorted, self._last.popleft())]
        if len(self._last) >= KNOWN_AFTER and not self._known.done():
            self._known.set_result(None)

    def _follow(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._late.add(task)
        task.add_done_callback(self._followed)

    def _followed(self, task: asyncio.Task[None]) -> None:
        self._late.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.failed(error)

    async def _await_other(self, one: Hedged, row: HedgeRow, other: _Task, held: Reservation) -> None:
        try:
            await asyncio.wait({other})
        except asyncio.CancelledError:
            await _cancel([other])  # it books itself as what may have been paid
        await self._book(one, row, held, _answer(other))

    async def _book(self, one: Hedged, row: HedgeRow, held: Reservation | None, attempt: Attempt | None) -> None:
        """The two have ended: settles the row that stood for one of them. attempt: the answer that was not needed, if any."""
        paid = one.price(attempt) if attempt is not None else None
        try:
            reply = compress(attempt.body) if attempt is not None and attempt.body is not None else None
            seconds = attempt.latency_s if attempt is not None else None
            await self._writer.write([HedgedRow(one.key, row.at, seconds, paid, reply)])
        finally:
            self._stats.usd += paid or 0.0
            if held is not None:
                one.release(held, paid or 0.0)
        if attempt is not None:
            self._learn(attempt.latency_s)


def _answer(task: _Task) -> Attempt | None:
    """The attempt, if it ended with an answer."""
    if not task.done() or task.cancelled() or task.exception() is not None:
        return None
    attempt = task.result()
    return attempt if attempt is not None and attempt.parsed is not None else None


async def _first_answer(tasks: Iterable[_Task]) -> _Task:
    """The first task that ends with an answer; when none does, the first of them, once all have ended."""
    pending = set(tasks)
    while pending:
        _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if _answer(task) is not None:
                return task
    return next(iter(tasks))


async def _cancel(tasks: Iterable[_Task]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
