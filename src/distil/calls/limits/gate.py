"""Admission to one teacher: a queue behind its limits. Retries go before new work; nothing polls.

    enter()    waits for the buckets (requests and tokens a minute) and for a place near the front
    go()       waits for a place on the wire; between the two the caller commits its intent to the ledger
    leave()    the reply is in: limits are learned, the next in line goes
    settle()   corrects the token buckets by the usage
    abandon()  instead of leave: nothing was sent, or nothing came back

Time spent here is queue time and never counts as a request's timeout. One gate per (provider, model); pace.py is its law.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque

from distil.calls.config import Limits
from distil.calls.faults import FaultKind
from distil.calls.limits.bucket import Bucket, Buckets
from distil.calls.limits.pace import AdaptiveLimit, SentMark
from distil.calls.providers.base import LimitHint
from distil.progress import clock

# Requests whose intent is committed while others are on the wire, as a share of the limit: covers the commit's latency.
AHEAD = 0.2
LEARNED_BURST_S = 0.01


class Ticket:
    """One request on its way through the gate."""

    __slots__ = ("input_tokens", "mark", "on_wire", "output_tokens")

    def __init__(self, input_tokens: int, output_tokens: int) -> None:
        self.input_tokens = input_tokens
        self.output_tokens = output_tokens
        self.mark: SentMark | None = None
        self.on_wire = False


class AdmissionGate:
    """Admission to one teacher. `limits` as in the config; what is None there is learned."""

    def __init__(self, limits: Limits, *, adaptive: bool = True) -> None:
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        ceiling = limits.concurrency
        self.pace = AdaptiveLimit(ceiling) if adaptive else AdaptiveLimit(ceiling, start=ceiling)
        self._buckets = Buckets(limits, now)
        self._learned: Bucket | None = (
            Bucket(self.pace.send_rate, now, LEARNED_BURST_S) if self.pace.send_rate else None
        )
        self._queue: list[tuple[int, int, Ticket, asyncio.Future[None]]] = []
        self._ready: deque[tuple[Ticket, asyncio.Future[None]]] = deque()
        self._order = itertools.count()
        self._preparing = 0
        self.in_flight = 0
        self._next_try_at = 0.0
        self._only_one_since: float | None = None
        self._older_in_flight = 0
        self._held_until = 0.0
        self._held_why = ""
        self._timer: asyncio.TimerHandle | None = None
        self._closed: BaseException | None = None

    @property
    def limit(self) -> int:
        """Requests at once that are allowed now."""
        if self.pace.blocked_since is not None:
            return self.in_flight + 1  # one after the other tries
        return max(1, int(self.pace.limit)) if self._only_one_since is None else self._older_in_flight + 1

    @property
    def blocked(self) -> bool:
        """Nothing is taken now: the gate lets single requests try, so that no request needs to wait for long by itself."""
        return self.pace.blocked_since is not None or self._only_one_since is not None

    @property
    def rate_limit(self) -> float | None:
        """Requests a second that are allowed now, as configured, announced or learned; None: no such limit is known."""
        rates = (self._buckets.rate("requests"), self.pace.rate if self.pace.rate_binds else None)
        return min((rate for rate in rates if rate is not None), default=None)

    @property
    def waiting(self) -> str | None:
        """Why nothing is sent now, for a person; None while requests are sent."""
        left = self._held_until - self._loop.time()
        if self._queue and left > 1.0:
            return self._held_why.format(clock(left)) if self._held_why else None
        return (
            "the provider refuses every request; single ones try again" if self.pace.blocked_since is not None else None
        )

    def try_one(self, pause_s: float) -> None:
        """The circuit breaker opened: nothing for a while, then one request at a time beside those that are still out."""
        now = self._loop.time()
        self._only_one_since = now
        self._older_in_flight = self.in_flight
        self._hold(now + pause_s, "the provider does not answer; the next try comes in {}")

    def try_all(self) -> None:
        """The circuit breaker closed."""
        if self._only_one_since is not None:
            self._only_one_since = None
            self._held_until = 0.0
            self._pump()

    async def enter_unless_held(
        self, input_tokens: int, output_tokens: int, *, retry: bool = False, patience_s: float | None = None
    ) -> Ticket | None:
        """As `enter`; None when after `patience_s` the provider takes nothing, so that it may be long until it does."""
        while True:
            try:
                async with asyncio.timeout(patience_s):
                    return await self.enter(input_tokens, output_tokens, retry=retry)
            except TimeoutError:
                if self.blocked or self.waiting is not None:
                    return None
                retry = True  # the line moves: on from the front

    async def enter(self, input_tokens: int, output_tokens: int, *, retry: bool = False) -> Ticket:
        """Waits for the buckets and a place near the front. Raises what the gate was closed with."""
        if self._closed is not None:
            raise self._closed
        ticket = Ticket(input_tokens, output_tokens)
        waiter: asyncio.Future[None] = self._loop.create_future()
        heapq.heappush(self._queue, (0 if retry else 1, next(self._order), ticket, waiter))
        self._pump()
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.abandon(ticket)
            raise
        return ticket

    async def go(self, ticket: Ticket) -> None:
        """Waits for a place on the wire. From here on the request is in flight until `leave`."""
        if self.in_flight < self.limit and not self._ready:
            self._launch(ticket)
            return
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._ready.append((ticket, waiter))
        try:
            await waiter
        except BaseException:
            if not ticket.on_wire and (ticket, waiter) in self._ready:
                self._ready.remove((ticket, waiter))
            self.abandon(ticket)
            raise

    def abandon(self, ticket: Ticket) -> None:
        """Gives a place back that was not used, or whose outcome is unknown (cancelled)."""
        if ticket.on_wire:
            self._land(ticket)
        else:
            self._preparing -= 1
        self._pump()

    def leave(
        self,
        ticket: Ticket,
        refused: FaultKind | None,
        hint: LimitHint | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        """The reply is in. refused: rate_limit, overload or shed, None for every other outcome; hint: what it announced."""
        now = self._loop.time()
        busy = self.in_flight >= self.limit - 1
        mark = self._land(ticket)
        if hint:
            until = self._buckets.follow(hint, now)
            self._hold(until, f"the provider asked for {{}} ({self._buckets.used_up} per hour or day)")
        if refused is None:
            self.pace.accepted(mark, now, busy)
        else:
            on_rate = self.pace.refused(mark, now, overload=refused != "rate_limit")
            if retry_after_s is not None and (on_rate or refused != "rate_limit" or retry_after_s > 5):
                self._hold(now + retry_after_s, "the provider asked for {}")
        self._follow_pace(now, refused is not None)
        self._pump()

    def settle(self, ticket: Ticket, input_tokens: int, output_tokens: int) -> None:
        """Corrects the token buckets by what was really used."""
        self._buckets.correct(input_tokens - ticket.input_tokens, output_tokens - ticket.output_tokens)

    @property
    def idle(self) -> bool:
        """Nobody waits, and nothing is on the wire."""
        return not (self._queue or self._ready or self._preparing or self.in_flight)

    def close(self, error: BaseException) -> None:
        """Every waiting and every later request gets `error`. Those in flight finish."""
        self._closed = error
        if self._timer is not None:
            self._timer.cancel()
        for waiter in [*(entry[3] for entry in self._queue), *(waiter for _, waiter in self._ready)]:
            if not waiter.done():
                waiter.set_exception(error)
        self._queue.clear()
        self._ready.clear()

    # -- inside -----------------------------------------------------------------------------------------------------

    def _launch(self, ticket: Ticket) -> None:
        self._preparing -= 1
        self.in_flight += 1
        ticket.on_wire = True
        ticket.mark = self.pace.sent(self._loop.time(), self.in_flight)

    def _land(self, ticket: Ticket) -> SentMark:
        self.in_flight -= 1
        ticket.on_wire = False
        mark = ticket.mark
        assert mark is not None
        if self._only_one_since is not None and mark.sent_at < self._only_one_since:
            self._older_in_flight -= 1
        return mark

    def _pump(self) -> None:
        while self._ready and self.in_flight < self.limit:
            ticket, waiter = self._ready.popleft()
            if not waiter.done():
                self._launch(ticket)
                waiter.set_result(None)
        limit = self.limit
        # Past the limit, requests may already commit their intents: then one is ready the moment another comes back.
        capacity = limit + (0 if self.blocked else int(limit * AHEAD))
        while self._queue and self.in_flight + self._preparing < capacity:
            if self._queue[0][3].done():
                heapq.heappop(self._queue)
                continue
            now = self._loop.time()
            ready_at = self._ready_at(now)
            if ready_at > now:
                self._wake_at(ready_at)
                return
            _, _, ticket, waiter = heapq.heappop(self._queue)
            self._buckets.take(ticket.input_tokens, ticket.output_tokens, now)
            if self._learned is not None:
                self._learned.take(1, now)
            self._preparing += 1
            self._next_try_at = now + self.pace.try_after_s(now)
            waiter.set_result(None)

    def _ready_at(self, now: float) -> float:
        when = max(now, self._held_until, self._buckets.ready_at(now))
        if self.pace.blocked_since is not None:
            when = max(when, self._next_try_at)
        return when if self._learned is None else max(when, self._learned.ready_at(now))

    def _wake_at(self, when: float) -> None:
        if self._timer is not None:
            if not self._timer.cancelled() and self._timer.when() <= when and self._timer.when() > self._loop.time():
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._pump)

    def _hold(self, until: float, why: str) -> None:
        if until > self._held_until:
            self._held_until, self._held_why = until, why

    def _follow_pace(self, now: float, refused: bool) -> None:
        rate = self.pace.send_rate
        if rate is None:
            self._learned = None
        elif self._learned is None:
            self._learned = Bucket(rate, now, LEARNED_BURST_S)
        elif rate != self._learned.rate:
            self._learned.set_rate(rate, now)
        if refused and self._learned is not None:
            self._learned.drain(now)
