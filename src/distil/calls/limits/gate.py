"""Who may be sent now: the queue of one teacher behind its limits. Retries go before new work; nobody polls.

    enter()   waits for the buckets (requests and tokens a minute) and for a place near the front
    go()      waits for one of the places on the wire; between the two the caller commits its intent to the ledger
    leave()   tells how it went: limits are learned, the next in line goes

Time spent here is queue time and never counts as a request's timeout. One Gate per (provider, model); pace.py is its law.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque

from distil.calls.config import Limits
from distil.calls.limits.bucket import Bucket, per_second
from distil.calls.limits.pace import AdaptiveLimit, SentMark
from distil.calls.providers.base import LimitHint

# Requests whose intent is committed while others are on the wire, as a share of the limit: covers the commit's latency.
AHEAD = 0.2
LEARNED_BURST_S = 0.01


class Ticket:
    """One request's way through the gate."""

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
        self.pace = (
            AdaptiveLimit(limits.concurrency)
            if adaptive
            else AdaptiveLimit(limits.concurrency, start=limits.concurrency)
        )
        self._configured = limits
        self.requests = _bucket(limits.requests_per_minute, now)
        self.tokens = _bucket(limits.tokens_per_minute, now)
        self.input_tokens = _bucket(limits.input_tokens_per_minute, now)
        self.output_tokens = _bucket(limits.output_tokens_per_minute, now)
        self._learned: Bucket | None = (
            Bucket(self.pace.send_rate, now, LEARNED_BURST_S) if self.pace.send_rate else None
        )
        self._queue: list[tuple[int, int, Ticket, asyncio.Future[None]]] = []
        self._ready: deque[tuple[Ticket, asyncio.Future[None]]] = deque()
        self._order = itertools.count()
        self._preparing = 0
        self.in_flight = 0
        self._only_one_since: float | None = None
        self._older_in_flight = 0
        self._held_until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._closed: BaseException | None = None

    @property
    def limit(self) -> int:
        """Requests at once that are allowed now."""
        return max(1, int(self.pace.limit)) if self._only_one_since is None else self._older_in_flight + 1

    @property
    def rate_limit(self) -> float | None:
        """Requests a second that are allowed now, as configured, announced or learned; None: no such limit is known."""
        rates = [rate for rate in (self.requests.rate if self.requests else None, self.pace.rate) if rate is not None]
        return min(rates) if rates else None

    def try_one(self, pause_s: float) -> None:
        """The circuit breaker opened: nothing for a while, then one request at a time beside those that are still out."""
        now = self._loop.time()
        self._only_one_since = now
        self._older_in_flight = self.in_flight
        self._hold(now + pause_s)

    def try_all(self) -> None:
        """The circuit breaker closed."""
        if self._only_one_since is not None:
            self._only_one_since = None
            self._held_until = 0.0
            self._pump()

    async def enter(self, input_tokens: int, output_tokens: int, *, retry: bool = False) -> Ticket:
        """Waits for the buckets and a place near the front. Raises what the gate was closed with."""
        if self._closed is not None:
            raise self._closed
        entry = Ticket(input_tokens, output_tokens)
        waiter: asyncio.Future[None] = self._loop.create_future()
        heapq.heappush(self._queue, (0 if retry else 1, next(self._order), entry, waiter))
        self._pump()
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.abandon(entry)
            raise
        return entry

    async def go(self, entry: Ticket) -> None:
        """Waits for a place on the wire. From here on the request is in flight until `leave`."""
        if self.in_flight < self.limit and not self._ready:
            self._launch(entry)
            return
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._ready.append((entry, waiter))
        try:
            await waiter
        except BaseException:
            if not entry.on_wire and (entry, waiter) in self._ready:
                self._ready.remove((entry, waiter))
            self.abandon(entry)
            raise

    def abandon(self, entry: Ticket) -> None:
        """Gives a place back that was not used, or whose outcome is unknown (cancelled)."""
        if entry.on_wire:
            self._land(entry)
        else:
            self._preparing -= 1
        self._pump()

    def leave(
        self, entry: Ticket, refused: str | None, hint: LimitHint | None = None, retry_after_s: float | None = None
    ) -> None:
        """The reply is in. `refused`: rate_limit, overload or shed; None for every other outcome."""
        now = self._loop.time()
        busy = self.in_flight >= self.limit - 1
        mark = self._land(entry)
        if hint is not None:
            self._sync(hint, now)
        if refused is None:
            self.pace.accepted(mark, now, busy)
        else:
            on_rate = self.pace.refused(mark, now, overload=refused != "rate_limit")
            if retry_after_s is not None and (on_rate or refused != "rate_limit" or retry_after_s > 5):
                self._hold(now + retry_after_s)
        self._follow_pace(now, refused is not None)
        self._pump()

    def settle(self, entry: Ticket, input_tokens: int, output_tokens: int) -> None:
        """Corrects the token buckets by what was really used."""
        more_in, more_out = input_tokens - entry.input_tokens, output_tokens - entry.output_tokens
        for bucket, more in (
            (self.tokens, more_in + more_out),
            (self.input_tokens, more_in),
            (self.output_tokens, more_out),
        ):
            if bucket is not None:
                bucket.correct(more)

    def hold(self, seconds: float) -> None:
        """Nothing new goes for so long."""
        self._hold(self._loop.time() + seconds)
        self._pump()

    def close(self, error: BaseException) -> None:
        """Everybody who waits, and everybody who comes, gets `error`. Those in flight finish."""
        self._closed = error
        if self._timer is not None:
            self._timer.cancel()
        for _, _, _, waiter in self._queue:
            if not waiter.done():
                waiter.set_exception(error)
        self._queue.clear()
        for _, waiter in self._ready:
            if not waiter.done():
                waiter.set_exception(error)
        self._ready.clear()

    # -- inside -----------------------------------------------------------------------------------------------------

    def _launch(self, entry: Ticket) -> None:
        self._preparing -= 1
        self.in_flight += 1
        entry.on_wire = True
        entry.mark = self.pace.sent(self._loop.time(), self.in_flight)

    def _land(self, entry: Ticket) -> SentMark:
        self.in_flight -= 1
        entry.on_wire = False
        mark = entry.mark
        assert mark is not None
        if self._only_one_since is not None and mark.sent_at < self._only_one_since:
            self._older_in_flight -= 1
        return mark

    def _pump(self) -> None:
        while self._ready and self.in_flight < self.limit:
            entry, waiter = self._ready.popleft()
            if not waiter.done():
                self._launch(entry)
                waiter.set_result(None)
        limit = self.limit
        room = limit + (0 if self._only_one_since is not None else int(limit * AHEAD))
        while self._queue and self.in_flight + self._preparing < room:
            if self._queue[0][3].done():
                heapq.heappop(self._queue)
                continue
            now = self._loop.time()
            ready_at = self._ready_at(now)
            if ready_at > now:
                self._wake_at(ready_at)
                return
            _, _, entry, waiter = heapq.heappop(self._queue)
            self._take(entry, now)
            self._preparing += 1
            waiter.set_result(None)

    def _ready_at(self, now: float) -> float:
        when = max(now, self._held_until)
        for bucket in (self.requests, self._learned, self.tokens, self.input_tokens, self.output_tokens):
            if bucket is not None:
                when = max(when, bucket.ready_at(now))
        return when

    def _take(self, entry: Ticket, now: float) -> None:
        both = entry.input_tokens + entry.output_tokens
        for bucket, cost in (
            (self.requests, 1),
            (self._learned, 1),
            (self.tokens, both),
            (self.input_tokens, entry.input_tokens),
            (self.output_tokens, entry.output_tokens),
        ):
            if bucket is not None:
                bucket.take(cost, now)

    def _wake_at(self, when: float) -> None:
        if self._timer is not None:
            if not self._timer.cancelled() and self._timer.when() <= when and self._timer.when() > self._loop.time():
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._pump)

    def _hold(self, until: float) -> None:
        self._held_until = max(self._held_until, until)

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

    def _sync(self, hint: LimitHint, now: float) -> None:
        configured = self._configured
        for name, per_minute in (
            ("requests", configured.requests_per_minute),
            ("tokens", configured.tokens_per_minute),
            ("input_tokens", configured.input_tokens_per_minute),
            ("output_tokens", configured.output_tokens_per_minute),
        ):
            limit = getattr(hint, f"{name}_limit")
            if limit is None or limit <= 0:
                continue
            remaining, reset_s = getattr(hint, f"{name}_remaining"), getattr(hint, f"{name}_reset_s")
            rate = per_second(limit, remaining, reset_s)
            bucket: Bucket | None = getattr(self, name)
            if rate is not None:
                rate = min(rate, per_minute / 60.0) if per_minute is not None else rate
                if bucket is None:
                    bucket = Bucket(rate, now)
                    setattr(self, name, bucket)
                elif abs(bucket.rate - rate) > 1e-9:
                    bucket.set_rate(rate, now)
            if remaining is not None and remaining <= 0:
                if rate is None and reset_s:
                    self._hold(now + reset_s)  # an hour's or a day's quota is used up
                elif bucket is not None:
                    bucket.drain(now)


def _bucket(per_minute: int | None, now: float) -> Bucket | None:
    return None if per_minute is None else Bucket(per_minute / 60.0, now)
