"""One teacher of a client: asks a request until it is answered or given up, and has every step in the ledger first.

    reserve dollars -> wait for the gate -> commit the intent -> send -> commit the raw reply -> settle, count, return

Retries, what each kind of fault means, and what may have been paid for are decided here; translation is the provider's, speed
the gate's. Made and called by client.py only.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, NoReturn

from distil.calls.breaker import Breaker
from distil.calls.budget import Budget
from distil.calls.catalog import open_teacher
from distil.calls.config import TeacherConfig
from distil.calls.estimate import Estimator
from distil.calls.faults import CallFailed, Fault, GarbledReply, ProviderDown, QuotaExhausted
from distil.calls.gate import Gate, Pass
from distil.calls.identify import Identity, endpoint_of, identify
from distil.calls.keys import compress, timestamp
from distil.calls.ledger import Ledger, Recorded
from distil.calls.prices import PriceQuote, price_of
from distil.calls.provider import Parsed
from distil.calls.replicas import Replica, Replicas
from distil.calls.request import Request, Tier
from distil.calls.rows import Attempt, Body, Failed, Intent
from distil.calls.stats import Stats
from distil.calls.transport import Broken, HttpReply, Transport, redact, secrets
from distil.errors import DistilError, UserError
from distil.records import Usage

REFUSALS = ("rate_limit", "overload", "shed")
# Refused this often although others get through: something about the request itself.
MOST_REFUSALS = 30
UNREACHABLE_S = 10.0
BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 60.0
NEVER_SENT = Fault("connection", "never sent: the run stopped")
REQUEST_ID_HEADERS = ("x-request-id", "request-id", "x-goog-request-id")


class Answer(NamedTuple):
    """A reply that is durable."""

    parsed: Parsed
    usd: float
    latency_s: float


class _Outcome(NamedTuple):
    """How one attempt ended: an answer with its raw body, or a fault."""

    parsed: Parsed | None
    body: bytes | None
    fault: Fault | None
    latency_s: float
    maybe_paid: bool = False
    request_id: str | None = None


class Teacher:
    """Opened once per client. Raises UserError when the model, its key or its price is not known."""

    def __init__(
        self,
        config: TeacherConfig,
        *,
        ledger: Ledger,
        budget: Budget,
        stats: Stats,
        transport: Transport,
        give_up_s: float,
        root: Path,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.config = config
        self.opened = open_teacher(config, root=root)
        self.endpoint = endpoint_of(self.opened)
        self.gate = Gate(config.limits, adaptive=self.opened.local is None)
        self.estimator = Estimator()
        self._ledger = ledger
        self._writer = ledger.start()
        self._budget = budget
        self._stats = stats
        self._transport = transport
        self._clock: Callable[[], float] = loop.time
        self._replicas = Replicas(self.opened.replicas, loop.time)
        self._breaker = Breaker(loop.time, give_up_s)
        self._quotes: dict[str, PriceQuote] = {}
        self._refused_in_a_row = 0
        self._worked = False
        self._reached = self.opened.local is not None
        self._unreached_since: float | None = None
        self.quote("standard")

    def quote(self, tier: Tier) -> PriceQuote:
        """The price at a tier, looked up once."""
        if tier not in self._quotes:
            self._quotes[tier] = price_of(self.config.model, self.config.price, tier)
        return self._quotes[tier]

    def identify(self, request: Request) -> Identity:
        """Key and wire body."""
        return identify(self.opened, request, self.endpoint)

    def parse(self, body: bytes) -> Parsed:
        """A raw body from the ledger, read anew. Raises GarbledReply."""
        if self.opened.local is not None:
            return Parsed.model_validate_json(body)
        return self.opened.replicas[0].parse(200, {}, body)

    async def ask(self, request: Request, identity: Identity) -> Answer:
        """Asks until there is an answer.

        Raises CallFailed (this request only), or what ends the run: BudgetReached, QuotaExhausted, ProviderDown, UserError
        (no such model, wrong key), WorkFailed (the ledger can't be written).
        """
        quote = self.quote(request.tier)
        tokens = self.estimator.most_input(request, len(identity.body)), request.sampling.max_tokens
        most = quote.most(*tokens)
        if request.tier != "standard":
            # A provider may serve a cheap tier's request at the standard price: then that must fit under the cap too.
            most = max(most, self.quote("standard").most(*tokens))
        failures = refusals = 0
        while True:
            await self._budget.reserve(most)
            paid = 0.0
            try:
                outcome = await self._attempt(request, identity, most, retry=failures + refusals > 0)
                if outcome.parsed is not None:
                    answer = await self._keep(request, identity, outcome, quote)
                    paid = answer.usd
                    self._count(identity, outcome.parsed.usage, answer)
                    return answer
            finally:
                self._budget.settle(most, paid)
            assert outcome.fault is not None
            if outcome.fault.kind in REFUSALS:
                refusals += 1
            elif not self._breaker.open:
                failures += 1
            if not outcome.fault.retryable or failures >= self.config.attempts or refusals >= MOST_REFUSALS:
                self._give_up(request, identity, outcome.fault, failures + refusals)
            self._stats.retries += 1
            await asyncio.sleep(self._pause(outcome.fault, failures, refusals))

    # -- one attempt ------------------------------------------------------------------------------------------------

    async def _attempt(self, request: Request, identity: Identity, most: float, *, retry: bool) -> _Outcome:
        size = len(identity.body)
        entry = await self.gate.enter(
            self.estimator.input(size), self.estimator.output(request.sampling.max_tokens), retry=retry
        )
        try:
            await self._writer.write([self._intent(request, identity, most)])
        except BaseException as error:
            self.gate.abandon(entry)
            if isinstance(error, asyncio.CancelledError):
                self._note(identity, NEVER_SENT, None, None)
            raise
        try:
            await self.gate.go(entry)
        except BaseException:
            self._note(identity, NEVER_SENT, None, None)
            raise
        self._stats.in_flight += 1
        try:
            if self.opened.local is not None:
                outcome = await self._answer_here(request, entry)
            else:
                outcome = await self._send(request, identity, entry)
        except BaseException:
            self.gate.abandon(entry)
            self._maybe_paid(most)
            self._writer.put([Attempt(identity.key, timestamp(), "cancelled", "the run was stopped", None, most, None)])
            raise
        finally:
            self._stats.in_flight -= 1
        if outcome.parsed is not None:
            self.gate.settle(entry, outcome.parsed.usage.input_tokens, outcome.parsed.usage.output_tokens)
        else:
            self.gate.settle(entry, 0, 0)
            assert outcome.fault is not None
            self._note(identity, outcome.fault, outcome, most if outcome.maybe_paid else None)
            if outcome.maybe_paid:
                self._maybe_paid(most)
            self._react(request, identity, outcome.fault, self._clock() - outcome.latency_s)
        return outcome

    def _maybe_paid(self, most: float) -> None:
        # Counts against the cap on top of the reservation, which the caller gives back.
        self._budget.settle(0.0, 0.0, uncertain_usd=most)
        self._stats.uncertain_usd += most

    async def _answer_here(self, request: Request, entry: Pass) -> _Outcome:
        assert self.opened.local is not None
        started = self._clock()
        try:
            parsed = await self.opened.local.answer(request)
        except CallFailed as error:
            self.gate.leave(entry, None)
            return _Outcome(None, None, error.fault, self._clock() - started)
        self.gate.leave(entry, None)
        return _Outcome(parsed, parsed.model_dump_json().encode(), None, self._clock() - started)

    async def _send(self, request: Request, identity: Identity, entry: Pass) -> _Outcome:
        replica = self._replicas.take()
        wire = identity.wire if replica.provider is self.opened.replicas[0] else replica.provider.wire(request)
        assert wire is not None
        started = self._clock()
        try:
            reply = await self._transport.post(wire.url, wire.headers, identity.body, self.config.timeout_s)
        except Broken as broken:
            latency = self._clock() - started
            self._replicas.broke(replica) if broken.kind == "connection" else self._replicas.gave_up(replica)
            self.gate.leave(entry, None)
            return _Outcome(None, None, Fault(broken.kind, str(broken), None), latency, maybe_paid=broken.sent)
        except BaseException:
            self._replicas.gave_up(replica)
            raise
        self._reached = True
        outcome = self._read(replica, reply, self._clock() - started, secrets(wire.headers))
        self._replicas.done(replica)
        fault = outcome.fault
        self.gate.leave(
            entry,
            fault.kind if fault is not None and fault.kind in REFUSALS else None,
            replica.provider.limits(reply.headers),
            fault.retry_after_s if fault is not None else None,
        )
        return outcome

    def _read(self, replica: Replica, reply: HttpReply, latency: float, hidden: list[str]) -> _Outcome:
        body = reply.body
        for secret in hidden:
            body = body.replace(secret.encode(), b"[key]")
        request_id = next((reply.headers[name] for name in REQUEST_ID_HEADERS if name in reply.headers), None)
        good = 200 <= reply.status < 300
        if good:
            try:
                parsed = replica.provider.parse(reply.status, reply.headers, body)
                return _Outcome(parsed, body, None, latency, request_id=request_id)
            except GarbledReply as error:
                garbled = Fault("garbled", str(error), None)
            fault = replica.provider.fault(reply.status, reply.headers, body)
            fault = garbled if fault.kind in ("server", "bad_request", "garbled") else fault
        else:
            fault = replica.provider.fault(reply.status, reply.headers, body)
        fault = fault._replace(message=redact(fault.message, hidden))
        return _Outcome(None, body, fault, latency, maybe_paid=good and fault.kind == "garbled", request_id=request_id)

    # -- what follows ------------------------------------------------------------------------------------------------

    async def _keep(self, request: Request, identity: Identity, outcome: _Outcome, quote: PriceQuote) -> Answer:
        assert outcome.parsed is not None and outcome.body is not None
        parsed = outcome.parsed
        tier: Tier = request.tier
        if parsed.served_tier in ("standard", "flex", "batch") and parsed.served_tier != tier:
            tier = parsed.served_tier  # type: ignore[assignment]
            quote = self.quote(tier)
        usd = quote.cost(parsed.usage)
        row = self._ledger.answered_row(
            Recorded(
                key=identity.key,
                purpose=request.purpose,
                model=request.model,
                request=identity.body,
                reply=outcome.body,
                usage=parsed.usage,
                usd=usd,
                endpoint=self.endpoint,
                tier=tier,
                sample=request.sample,
                price=(quote.input, quote.output, quote.source),
                request_id=outcome.request_id,
            ),
            outcome.latency_s,
        )
        await self._writer.write([row, Body(identity.key, compress(identity.body), compress(outcome.body))])
        return Answer(parsed, usd, outcome.latency_s)

    def _count(self, identity: Identity, usage: Usage, answer: Answer) -> None:
        self._breaker.success()
        self.gate.try_all()
        self._worked = True
        self._refused_in_a_row = 0
        self.estimator.learn(len(identity.body), usage)
        self._stats.note_answer(usage.input_tokens, usage.output_tokens, answer.usd)

    def _intent(self, request: Request, identity: Identity, most: float) -> Intent:
        return Intent(
            key=identity.key,
            purpose=request.purpose,
            model=request.model,
            endpoint=self.endpoint,
            tier=request.tier,
            sample=request.sample,
            run=self._ledger.run,
            reserve_usd=most,
            created=timestamp(),
        )

    def _note(self, identity: Identity, fault: Fault, outcome: _Outcome | None, maybe_usd: float | None) -> None:
        body = outcome.body if outcome is not None else None
        latency = outcome.latency_s if outcome is not None else None
        kept = compress(body) if body else None
        row = Attempt(identity.key, timestamp(), fault.kind, fault.message[:2000], latency, maybe_usd, kept)
        self._writer.put([row])

    def _react(self, request: Request, identity: Identity, fault: Fault, sent_at: float) -> None:
        """What a fault means for everybody else: stop the run, pause it, or nothing."""
        model = request.model
        if fault.kind == "quota":
            self._stop(identity, fault, QuotaExhausted(f"{model}: {fault.message} Everything answered so far is kept."))
        if fault.kind in ("auth", "not_found"):
            self._stop(identity, fault, UserError(f"{model}: {fault.message}"))
        if fault.kind == "bad_request":
            self._breaker.success()
            self._refused_in_a_row += 1
            if not self._worked and self._refused_in_a_row >= 20 and self.opened.local is None:
                self._stop(identity, fault, UserError(f"{model} refuses every request: {fault.message}"))
            return
        if fault.kind == "connection" and not self._reached:
            self._unreachable(identity, fault)
        if fault.kind in REFUSALS:
            self._stats.refused += 1
        pause = self._breaker.failure(sent_at, refused=fault.kind in REFUSALS)
        if pause is not None:
            self.gate.try_one(pause)
        too_long = fault.retry_after_s is not None and fault.retry_after_s > self._breaker.give_up_s
        if self._breaker.given_up or too_long:
            why = f"asks to wait {fault.retry_after_s:,.0f} s" if too_long else "has not answered for minutes"
            self._stop(
                identity,
                fault,
                ProviderDown(
                    f"{model} {why}: {fault.message} The run stops here; everything that was answered is kept, "
                    "and running the same command again goes on from here."
                ),
            )

    def _unreachable(self, identity: Identity, fault: Fault) -> None:
        """A server that never answered anything is no outage to wait for: a wrong address, no network, not started."""
        now = self._clock()
        if self._unreached_since is None:
            self._unreached_since = now
        if now - self._unreached_since >= UNREACHABLE_S:
            self._stop(
                identity,
                fault,
                UserError(
                    f"{self.config.model} can't be reached: {fault.message}. Check the network (and HTTPS_PROXY), the "
                    "address in distil.yaml, and that a server of your own is running; then run again, nothing is lost."
                ),
            )

    def _stop(self, identity: Identity, fault: Fault, error: DistilError) -> NoReturn:
        self._writer.put([Failed(identity.key, fault.message[:2000])])
        self.gate.close(error)
        raise error

    def _give_up(self, request: Request, identity: Identity, fault: Fault, attempts: int) -> NoReturn:
        self._writer.put([Failed(identity.key, fault.message[:2000])])
        self._stats.failed += 1
        times = f" (tried {attempts} times)" if attempts > 1 else ""
        raise CallFailed(f"{fault.message}{times}", request=request, fault=fault, call_id=identity.key)

    def _pause(self, fault: Fault, failures: int, refusals: int) -> float:
        """Full jitter over an exponentially growing span; never earlier than the provider asked for."""
        base = BACKOFF_S / 2 if fault.kind in REFUSALS else BACKOFF_S
        span = min(LONGEST_BACKOFF_S, base * 2.0 ** min(failures + refusals, 20))
        return (fault.retry_after_s or 0.0) + random.uniform(0.0, span)  # jitter, not a secret
