"""The teacher that answers where the student is unsure: through distil.calls, so its answers are priced, capped and recorded.

A repeated question at temperature 0 is answered from the ledger and costs nothing; that works also while the teacher is down
(breaker.py) or full (places.py). A sampled one gets a fresh answer (fresh.py), unless serve.cache is on.
"""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import AsyncExitStack
from pathlib import Path

from distil.calls.client import Client
from distil.calls.config import TeacherConfig
from distil.calls.faults import CallFailed, QuotaExhausted
from distil.calls.request import Reply, Request
from distil.errors import BudgetReached, DistilError, UserError
from distil.records import Message, Sampling
from distil.serve.addresses import without_addresses
from distil.serve.breaker import Breaker
from distil.serve.day_budget import DayBudget
from distil.serve.fresh import FreshSamples
from distil.serve.places import Places
from distil.serve.wire import BadRequest, ChatReply, ChatRequest, EngineFailed

ATTEMPTS = 2
"""Tries for one answer."""
PATIENCE_S = 5.0
"""A request that failed is sent again within this time only, however long the teacher asks to wait."""
HANGS_S = 10.0
"""No answer for so long, and for three times what one usually takes, counts as a failure, whoever gives up waiting."""
QUEUE = 256
BUDGET_RETRY_S = 60

_WIRE_KEYS = {"max_tokens": ("max_tokens", "max_completion_tokens")}
_NAMEABLE = ("temperature", "top_p", "max_tokens", "stop", "seed", "top_logprobs", "reasoning_effort")


class Fallback:
    """Sends requests to one configured teacher."""

    def __init__(
        self,
        ledger: Path,
        teacher: TeacherConfig,
        budget_usd: float | None,
        *,
        concurrency: int | None = None,
        queue: int = QUEUE,
        usd_per_day: float | None = None,
        cache: bool = False,
    ) -> None:
        """concurrency: requests that it gets at once (None: the teacher's own limit); queue: those that wait meanwhile; cache:
        sampled requests are answered from the ledger, too."""
        self.name = teacher.model
        self._sampling = teacher.sampling
        # Somebody waits for each answer: a collection's patience with a failing provider would be minutes here.
        patient = teacher.model_copy(update={"attempts": min(teacher.attempts, ATTEMPTS)})
        self._client = Client(
            ledger=ledger, teachers=[patient], budget_usd=budget_usd, cap_option="--set serve.budget_usd="
        )
        self._budget = DayBudget(self._client, budget_usd, usd_per_day)
        self._fresh = None if cache else FreshSamples(self._client)
        self._stack = AsyncExitStack()
        self._breaker = Breaker()
        self._places = Places(concurrency or teacher.limits.concurrency, queue)
        self._why_down = ""
        self.usd = 0.0

    @property
    def down(self) -> bool:
        """Whether it failed just now, so that the next request would not be sent."""
        return self._breaker.failing

    def gauges(self) -> dict[str, float]:
        """Figures for /metrics."""
        return {"distil_teacher_waiting": self._places.waiting, "distil_teacher_breaker_open": self._breaker.open}

    async def start(self) -> None:
        """Opens the client. Raises UserError for an unknown model, a missing key or an unknown price."""
        await self._stack.enter_async_context(self._client)
        self._budget.renew()
        probe = Request(model=self.name, messages=[Message(role="user", content="?")], sampling=self._sampling)
        try:
            self._client.check(probe)
        except DistilError:
            await self._stack.aclose()
            raise

    async def stop(self) -> None:
        """Closes the client once its running calls are done."""
        await self._stack.aclose()

    async def answer(self, request: ChatRequest, left_s: float | None = None) -> ChatReply:
        """Within `left_s` seconds, the rest of the request's deadline.

        Raises BadRequest where the request is at fault, else EngineFailed with the seconds after which to try again: 429 when
        too many wait, 502 when the teacher fails, 503 while it is left alone or without budget, 504 at the deadline.
        """
        self._budget.renew()
        call, reply = self._kept(request)
        reply = reply or await self._in_its_place(call, left_s)
        usd = 0.0 if reply.cached else reply.usd
        self.usd += usd
        return ChatReply(
            text=reply.text,
            finish_reason=reply.finish_reason,
            usage=reply.usage,
            tool_calls=reply.tool_calls,
            logprobs=reply.logprobs if request.logprobs else None,
            usd=usd,
            call_id=reply.call_id,
        )

    def _kept(self, request: ChatRequest) -> tuple[Request, Reply | None]:
        """The call, and the ledger's answer to it: it needs no place, and nothing that works.

        Raises BadRequest for what the teacher does not take, EngineFailed for an answer that can't be used.
        """
        try:
            call = self._call(request)
            return call, self._client.kept(call)
        except UserError as error:  # the settings of distil.yaml passed at the start
            raise BadRequest(f"The teacher does not take the request: {without_addresses(str(error))}") from None
        except CallFailed as error:
            raise EngineFailed("The teacher's answer in the ledger can't be used.", detail=str(error)) from None

    async def _in_its_place(self, call: Request, left_s: float | None) -> Reply:
        """Asks once there is a place, within `left_s` seconds. Raises BadRequest and EngineFailed."""
        if not self._breaker.may_enter:
            raise self._resting()
        try:
            async with asyncio.timeout(left_s), self._places.place(left_s):
                return await self._ask(call, left_s)
        except TimeoutError:
            error = EngineFailed("The teacher did not answer in time.", status=504)
            raise self._later(error) from None

    def _call(self, request: ChatRequest) -> Request:
        call = Request(
            model=self.name,
            messages=request.messages,
            sampling=self.sampling(request),
            sample=request.sample,
            purpose="serve",
            tools=request.tools,
            tool_choice=request.tool_choice,
            response_format=request.response_format,
            further=request.further or None,
            patience_s=PATIENCE_S,
        )
        # Who names a temperature wants samples; who names a seed, too, wants the same one again.
        sampled = request.sampling.temperature > 0 and call.sampling.temperature > 0 and request.sampling.seed is None
        return self._fresh.of(call) if sampled and self._fresh is not None else call

    async def _ask(self, call: Request, left_s: float | None) -> Reply:
        """Asks, and tells the breaker how it went. Raises BadRequest and EngineFailed."""
        probe = self._breaker.open
        if not self._breaker.enter():
            raise self._resting()
        if probe:  # a new session, and a ledger that may have room again
            self._client.reopen(self.name)
        sent = time.monotonic()
        try:
            reply = await self._client.complete(call)
        except DistilError as error:
            raise self._failed(error) from None
        except asyncio.CancelledError:
            hangs_s = min(max(HANGS_S, 3 * self._places.typical_s), math.inf if left_s is None else 0.8 * left_s)
            waited = time.monotonic() - sent
            self._breaker.failure() if waited >= max(hangs_s, HANGS_S / 2) else self._breaker.left()
            raise
        except BaseException:
            self._breaker.left()
            raise
        if reply.cached:  # somebody else asked the same meanwhile
            self._breaker.left()
        else:
            self._breaker.success()
            self._places.took(time.monotonic() - sent)
        return reply

    def _failed(self, error: DistilError) -> BadRequest:
        """Tells the breaker; what a client hears."""
        if isinstance(error, BudgetReached):
            self._breaker.left()
            whose = "Today's budget" if self._budget.of_the_day else "The budget"
            spent = EngineFailed(f"{whose} for the teacher's answers is spent.", status=503, detail=str(error))
            spent.retry_after_s = self._budget.seconds_left if self._budget.of_the_day else BUDGET_RETRY_S
            return spent
        if not isinstance(error, CallFailed):
            self._breaker.failure(for_all=True)
            status = 503 if isinstance(error, QuotaExhausted) else 502
            return self._later(EngineFailed("The teacher can't be reached.", status=status, detail=str(error)))
        kind = error.fault.kind
        if kind in ("bad_request", "filtered"):
            self._breaker.success()
            return BadRequest(f"The teacher refused the request: {without_addresses(str(error))}")
        asked_s = error.fault.retry_after_s
        self._breaker.failure(for_all=(asked_s or 0.0) > PATIENCE_S, asked_s=asked_s)
        return self._later(EngineFailed(f"The teacher could not answer ({kind}).", detail=str(error)))

    def _resting(self) -> EngineFailed:
        error = EngineFailed("The teacher fails; it is tried again in some seconds.", status=503, detail=self._why_down)
        return self._later(error)

    def _later(self, error: EngineFailed) -> EngineFailed:
        self._why_down = error.detail
        error.retry_after_s = max(1, math.ceil(self._breaker.wait_s))
        return error

    def sampling(self, request: ChatRequest) -> Sampling:
        """The settings that the student learned from, overridden by those that the client names."""
        named = named_sampling(request)
        if request.logprobs:
            named.setdefault("top_logprobs", 0)
        return self._sampling.model_copy(update=named)


def named_sampling(request: ChatRequest) -> dict[str, object]:
    """The settings of sampling that the client named itself."""
    return {
        field: getattr(request.sampling, field)
        for field in _NAMEABLE
        if any(request.body.get(key) is not None for key in _WIRE_KEYS.get(field, (field,)))
    }
