"""One teacher of a client: sends a request until it is answered or given up, every step in the ledger first.

    reserve dollars -> wait for the gate -> commit the intent -> send -> commit the raw reply -> settle, count, return

Retries and what may have been paid for are decided here; translation is the provider's, speed the gate's, and what a fault
means for all other requests outage.py's.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, NoReturn

from distil.calls.config import TeacherConfig
from distil.calls.faults import CallFailed, Fault
from distil.calls.http.attempt import Attempt, Sender
from distil.calls.http.transport import Transport
from distil.calls.identity import Identity, compress, endpoint_of, identify
from distil.calls.ledger.rows import AttemptRow, BodyRow, FailedRow, HedgeRow, IntentRow
from distil.calls.ledger.store import Ledger, Recorded
from distil.calls.limits.bills import Bill, Reservations, bill
from distil.calls.limits.budget import Budget, Reservation
from distil.calls.limits.estimate import Estimator
from distil.calls.limits.gate import AdmissionGate
from distil.calls.limits.hedging import Hedged, Hedging
from distil.calls.limits.outage import OutagePolicy
from distil.calls.prices import PriceQuote, price_of
from distil.calls.providers.base import Parsed
from distil.calls.providers.catalog import open_keyless, open_teacher
from distil.calls.providers.reading import parse_local
from distil.calls.request import Request, Tier
from distil.calls.stats import Stats
from distil.ids import now
from distil.progress import dollars, say
from distil.records import Usage

# Refused this often although others succeed: the request itself is the cause.
MAX_REFUSALS = 30
# A flex request that may go as a standard one does so after so many refusals, and the others then for so long.
SHED_TRIES = 3
FLEX_FULL_S = 60.0
BACKOFF_S = 0.5
MAX_BACKOFF_S = 60.0
NEVER_SENT = Fault("connection", "never sent: the run stopped")


class KeptReply(NamedTuple):
    """A reply that is durable."""

    parsed: Parsed
    usd: float
    latency_s: float


class _Terms(NamedTuple):
    """What bounds the cost of one request."""

    quotes: list[PriceQuote]
    """A provider may serve a cheap tier's request at the standard price: then that must fit under the cap too."""
    input_tokens: int
    max_tokens: int


class ModelSession:
    """One per model and client. What the ledger has can be read without key and price; `ready` requires both.

    ending: done when the run stops, so that no retry sleeps on. Raises UserError when the model or its file is unknown.
    """

    def __init__(
        self,
        config: TeacherConfig,
        *,
        ledger: Ledger,
        budget: Budget,
        stats: Stats,
        transport: Transport,
        root: Path,
        ending: asyncio.Future[None],
    ) -> None:
        self.config = config
        self.opened = open_keyless(config, root)
        self.endpoint = endpoint_of(self.opened)
        self.gate = AdmissionGate(config.limits, adaptive=self.opened.local is None)
        self.estimator = Estimator()
        self._ledger = ledger
        self._writer = ledger.start()
        self._budget = budget
        self._stats = stats
        self._transport = transport
        self._clock: Callable[[], float] = asyncio.get_running_loop().time
        self._root = root
        self._ending = ending
        self._sender: Sender | None = None
        self._quotes: dict[str, PriceQuote] = {}
        self._both: dict[str, list[PriceQuote]] = {}  # tier -> prices at which a request of it may be billed
        self._reservations = Reservations()
        self._live: dict[Reservation, _Terms] = {}
        self._price_told = False
        self._hedging = Hedging(self._writer, stats, self._clock)
        self._hedging.failed = self.gate.close
        self._flex_full_until = 0.0
        known, local = ledger.knows(config.model), self.opened.local is not None
        self.outage = OutagePolicy(config, self.gate, self._clock, known=known, local=local)

    def ready(self, request: Request, identity: Identity) -> Identity:
        """Before anything is sent: looks up key and price, once. Raises UserError when one of them is missing."""
        if self._sender is not None:
            return identity
        if self.opened.local is None:
            self.opened = open_teacher(self.config, root=self._root)
            for provider in self.opened.replicas:
                self._transport.route(provider.wire(request).url)
        self.quote("standard")
        if self.opened.local is None and self._budget.cap_usd is not None:
            self._reservations = Reservations(*self._ledger.overruns(self.config.model))
        self._sender = Sender(self.opened, self.config.timeout_s, self._transport, self._clock)
        return self.identify(request)  # again: the wire request now carries the key

    def quote(self, tier: Tier) -> PriceQuote:
        """The price at a tier, looked up once."""
        if tier not in self._quotes:
            self._quotes[tier] = price_of(self.config.model, self.config.price, tier)
        return self._quotes[tier]

    def identify(self, request: Request) -> Identity:
        """Key and wire body."""
        return identify(self.opened, request, self.endpoint)

    def parse(self, body: bytes) -> Parsed:
        """A raw body from the ledger, parsed again. Raises GarbledReply."""
        if self.opened.local is not None:
            return parse_local(body)
        return self.opened.replicas[0].parse(200, {}, body)

    async def call(self, request: Request, identity: Identity) -> KeptReply:
        """Sends until there is an answer. identity: from `ready`.

        Raises CallFailed (this request only), or what ends the run: BudgetReached, QuotaExhausted, ProviderDown, UserError
        (no such model, wrong key), WorkFailed (the ledger can't be written).
        """
        terms = self._terms(request, identity)
        failures, refusals, started = 0, 0, self._clock()
        while True:
            if request.tier == "flex" and request.flex_full == "standard" and self._flex_is_full(refusals):
                request = request.model_copy(update={"tier": "standard"})
                identity = self.identify(request)  # the same key: the tier is not part of it
            held = self._reservation(terms)
            self._live[held] = terms
            paid, reserved = 0.0, False
            try:
                await self._budget.reserve(held)
                reserved = True
                retry = failures + refusals > 0
                if request.hedge is None or self.opened.local is not None:
                    attempt = await self._attempt(request, identity, held, retry=retry)
                else:
                    hedged = self._hedged(request, identity, terms, request.hedge, retry=retry)
                    attempt, held = await self._hedging.ask(hedged, held)
                if attempt is None:
                    continue
                if attempt.parsed is not None:
                    answer = await self._keep(request, identity, attempt)
                    paid = answer.usd
                    self._count(identity, attempt.parsed.usage, answer)
                    return answer
            finally:
                if reserved:
                    self._release(held, paid)
                else:
                    del self._live[held]
            assert attempt.fault is not None
            waits = attempt.fault.refusal and self.gate.blocked  # nothing is taken, whatever is asked
            if attempt.fault.refusal:
                refusals += not waits
            elif not self.outage.breaker.open:
                failures += 1
            tries = min(self.config.attempts, attempt.fault.most or self.config.attempts)
            pause = _pause(attempt.fault, failures, 0 if waits else refusals)
            late = request.patience_s is not None and self._clock() - started + pause > request.patience_s
            if late or not attempt.fault.retryable or failures >= tries or refusals >= MAX_REFUSALS:
                self._give_up(request, identity, attempt.fault, failures + refusals)
            self._stats.retries += 1
            await asyncio.wait({self._ending}, timeout=pause)

    async def close(self) -> None:
        """The run is over: cuts off second requests whose answer is not needed any more, and books them."""
        await self._hedging.close()

    def _reservation(self, terms: _Terms) -> Reservation:
        return Reservation(self._reservations.most(*terms), self._reservations.room)

    def _release(self, held: Reservation, paid: float) -> None:
        del self._live[held]
        self._budget.settle(held, paid)

    def _hedged(self, request: Request, identity: Identity, terms: _Terms, factor: float, *, retry: bool) -> Hedged:
        def spare() -> Reservation | None:
            held = self._reservation(terms)
            if self._ending.done() or self.gate.blocked or not self._budget.take_free(held):
                return None
            self._live[held] = terms
            return held

        def price(attempt: Attempt) -> float:
            assert attempt.parsed is not None and attempt.body is not None
            return self.recorded(request, identity, attempt.parsed, attempt.body).usd

        return Hedged(
            identity.key,
            factor,
            send=lambda held, went, row: self._attempt(
                request, identity, held, retry=retry or row is not None, went=went, row=row
            ),
            spare=spare,
            release=self._release,
            price=price,
            keep=lambda attempt: self._keep(request, identity, attempt),
        )

    def _terms(self, request: Request, identity: Identity) -> _Terms:
        if (quotes := self._both.get(request.tier)) is None:
            quotes = self._both[request.tier] = [self.quote(tier) for tier in {request.tier, "standard"}]
        return _Terms(quotes, self.estimator.max_input(request, len(identity.body)), request.sampling.max_tokens)

    def _flex_is_full(self, refusals: int) -> bool:
        """Refused often enough, or others were just before."""
        now = self._clock()
        if refusals >= SHED_TRIES:
            self._flex_full_until = now + FLEX_FULL_S
        return now < self._flex_full_until

    # -- one attempt ------------------------------------------------------------------------------------------------

    async def _attempt(
        self,
        request: Request,
        identity: Identity,
        held: Reservation,
        *,
        retry: bool,
        went: asyncio.Future[float] | None = None,
        row: HedgeRow | None = None,
    ) -> Attempt | None:
        """None: not sent, because bills that came meanwhile have used up its room under the cap.

        went: gets the time at which it goes out; row: the intent of a second request, instead of the usual one.
        """
        tokens = self.estimator.input(len(identity.body)), self.estimator.output(request.sampling.max_tokens)
        ticket = await self.gate.enter_unless_held(*tokens, retry=retry, patience_s=request.patience_s)
        if ticket is None:
            return Attempt(None, None, Fault("overload", "the provider takes no requests now"), 0.0)
        if self._budget.overdrawn:
            self.gate.abandon(ticket)
            return None
        try:
            await self._writer.write([row or self._intent(request, identity, held.usd)])
        except BaseException as error:
            self.gate.abandon(ticket)
            if isinstance(error, asyncio.CancelledError):
                self._note(identity, NEVER_SENT, None, None)
            raise
        try:
            await self.gate.go(ticket)
        except BaseException:
            self._note(identity, NEVER_SENT, None, None)
            raise
        number = self._stats.note_sent()
        if went is not None:
            went.set_result(self._clock())
        try:
            assert self._sender is not None, "ready() comes first"
            attempt = await self._sender.send(request, identity)
        except BaseException:
            self.gate.abandon(ticket)
            self._maybe_paid(held.usd)
            self._writer.put(
                [AttemptRow(identity.key, now(), "cancelled", "the run was stopped", None, held.usd, None)]
            )
            raise
        finally:
            self._stats.note_back(number)
        fault, usage = attempt.fault, attempt.parsed.usage if attempt.parsed is not None else Usage()
        if attempt.body is not None:
            self.outage.reached()
        self.gate.leave(ticket, attempt.refused, attempt.limits, fault.retry_after_s if fault is not None else None)
        self.gate.settle(ticket, usage.input_tokens, usage.output_tokens)
        if fault is not None:
            known = attempt.usage is not None and attempt.usage != Usage()
            usd = self.quote(request.tier).cost(attempt.usage) if known and attempt.usage is not None else held.usd
            self._failed(identity, attempt, fault, usd if attempt.maybe_paid else None)
        return attempt

    def _failed(self, identity: Identity, attempt: Attempt, fault: Fault, paid: float | None) -> None:
        """Books an attempt without an answer. paid: the dollars that it cost or, at most, may have. Raises what ends the run."""
        self._note(identity, fault, attempt, paid)
        if paid is not None:
            self._maybe_paid(paid)
        self._stats.refused += fault.refusal
        ended = self.outage.fault(
            fault, self._clock() - attempt.latency_s, silent=attempt.silent, taken=attempt.maybe_paid
        )
        if ended is not None:
            self._writer.put([FailedRow(identity.key, fault.message[:2000])])
            self.gate.close(ended)
            raise ended

    def _maybe_paid(self, most: float) -> None:
        # Counts against the cap on top of the reservation, which the caller gives back.
        self._budget.settle(0.0, 0.0, uncertain_usd=most)
        self._stats.uncertain_usd += most

    # -- what follows ------------------------------------------------------------------------------------------------

    async def _keep(self, request: Request, identity: Identity, attempt: Attempt) -> KeptReply:
        assert attempt.parsed is not None and attempt.body is not None
        made = self.recorded(request, identity, attempt.parsed, attempt.body, attempt.request_id)
        row = self._ledger.answered_row(made, attempt.latency_s)
        await self._writer.write([row, BodyRow(identity.key, compress(identity.body), compress(attempt.body))])
        return KeptReply(attempt.parsed, made.usd, attempt.latency_s)

    def recorded(
        self, request: Request, identity: Identity, parsed: Parsed, body: bytes, request_id: str | None = None
    ) -> Recorded:
        """What the ledger keeps of a whole reply: at the provider's word, or priced at the tier that it says it served."""
        served = parsed.served_tier if parsed.served_tier in ("standard", "flex", "batch") else None
        tier: Tier = served or request.tier  # type: ignore[assignment]
        quote, terms = self.quote(tier), self._terms(request, identity)
        made = bill(parsed, quote, terms.input_tokens, max(terms.max_tokens, self._reservations.longest))
        if self.opened.local is None:
            self._learn(made, terms)
        return Recorded(
            key=identity.key,
            purpose=request.purpose,
            model=request.model,
            request=identity.body,
            reply=body,
            usage=made.usage,
            usd=made.usd,
            endpoint=self.endpoint,
            tier=tier,
            sample=request.sample,
            price=(quote.input, quote.output, made.source),
            request_id=request_id,
            table_usd=made.table_usd if parsed.told is not None else None,
        )

    def _learn(self, made: Bill, terms: _Terms) -> None:
        """From now on, also for what is in flight, the most that a request can cost is what the bills have shown."""
        if self._reservations.learn(made, *terms):
            for held, live in list(self._live.items()):
                self._budget.revise(held, self._reservations.most(*live), self._reservations.room)
        if made.differs and not self._price_told:
            self._price_told = True
            say(
                f"{self.config.model} says that a reply cost {dollars(made.usd)} ({made.source}); by the known price it is "
                f"{dollars(made.table_usd)}. The provider's figure counts, for all its replies; `distil ledger` shows both."
            )

    def _count(self, identity: Identity, usage: Usage, answer: KeptReply) -> None:
        self.outage.answered()
        self.estimator.learn(len(identity.body), usage)
        self._stats.note_answer(usage.input_tokens, usage.output_tokens, answer.usd)

    def _intent(self, request: Request, identity: Identity, most: float) -> IntentRow:
        return IntentRow(
            key=identity.key,
            purpose=request.purpose,
            model=request.model,
            endpoint=self.endpoint,
            tier=request.tier,
            sample=request.sample,
            run=self._ledger.run,
            reserve_usd=most,
            created=now(),
        )

    def _note(self, identity: Identity, fault: Fault, attempt: Attempt | None, maybe_usd: float | None) -> None:
        body = attempt.body if attempt is not None else None
        latency = attempt.latency_s if attempt is not None else None
        packed = compress(body) if body else None
        row = AttemptRow(identity.key, now(), fault.kind, fault.message[:2000], latency, maybe_usd, packed)
        self._writer.put([row])

    def _give_up(self, request: Request, identity: Identity, fault: Fault, attempts: int) -> NoReturn:
        self._writer.put([FailedRow(identity.key, fault.message[:2000])])
        self._stats.failed += 1
        times = f" (tried {attempts} times)" if attempts > 1 else ""
        raise CallFailed(f"{fault.message}{times}", request=request, fault=fault, call_id=identity.key)


def _pause(fault: Fault, failures: int, refusals: int) -> float:
    """Full jitter over an exponentially growing span; never earlier than the provider asked for. Short while the gate is blocked:
    there requests try one after the other, and all others can go as soon as one is taken."""
    base = BACKOFF_S / 2 if fault.refusal else BACKOFF_S
    span = min(MAX_BACKOFF_S, base * 2.0 ** min(failures + refusals, 20))
    return (fault.retry_after_s or 0.0) + random.uniform(0.0, span)  # jitter, not a secret
