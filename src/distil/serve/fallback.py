"""The teacher that answers where the student is unsure: through distil.calls, so its answers are priced, capped and recorded.

A repeated question is answered from the ledger and costs nothing, so a fallback never has to be collected again.
"""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from pathlib import Path

from distil.calls.client import Client
from distil.calls.config import TeacherConfig
from distil.calls.faults import CallFailed, QuotaExhausted
from distil.calls.request import Request
from distil.errors import BudgetReached, DistilError
from distil.records import Message, Sampling
from distil.serve.wire import BadRequest, ChatReply, ChatRequest, EngineFailed

ATTEMPTS = 2
"""Tries for one answer."""
RETRY_S = 5.0
"""After an outage that would have ended a run, the teacher gets no requests for this long; then it is tried again."""

_WIRE_KEYS = {"max_tokens": ("max_tokens", "max_completion_tokens")}
_NAMEABLE = ("temperature", "top_p", "max_tokens", "stop", "seed", "top_logprobs", "reasoning_effort")


class Fallback:
    """Sends requests to one configured teacher."""

    def __init__(self, ledger: Path, teacher: TeacherConfig, budget_usd: float | None) -> None:
        self.name = teacher.model
        self._sampling = teacher.sampling
        # Somebody waits for each answer: a collection's patience with a failing provider would be minutes here.
        patient = teacher.model_copy(update={"attempts": min(teacher.attempts, ATTEMPTS)})
        self._client = Client(ledger=ledger, teachers=[patient], budget_usd=budget_usd)
        self._stack = AsyncExitStack()
        self._ended_at: float | None = None
        self._failed_at: float | None = None
        self.usd = 0.0

    @property
    def down(self) -> bool:
        """Whether the last answer failed, and that just now."""
        failed = max((at for at in (self._ended_at, self._failed_at) if at is not None), default=None)
        return failed is not None and time.monotonic() - failed < RETRY_S

    async def start(self) -> None:
        """Opens the client. Raises UserError for an unknown model, a missing key or an unknown price."""
        await self._stack.enter_async_context(self._client)
        probe = Request(model=self.name, messages=[Message(role="user", content="?")], sampling=self._sampling)
        try:
            self._client.check(probe)
        except DistilError:
            await self._stack.aclose()
            raise

    async def stop(self) -> None:
        """Closes the client once its running calls are done."""
        await self._stack.aclose()

    async def answer(self, request: ChatRequest) -> ChatReply:
        """Raises BadRequest where the request is at fault, EngineFailed (502, or 503 without budget) otherwise."""
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
        )
        if self._ended_at is not None and time.monotonic() - self._ended_at >= RETRY_S:
            self._ended_at = None
            self._client.reopen(self.name)
        try:
            reply = await self._client.complete(call)
        except CallFailed as error:
            if error.fault.kind in ("bad_request", "filtered"):
                raise BadRequest(f"The teacher refused the request: {error}") from None
            self._failed_at = time.monotonic()
            raise EngineFailed(f"The teacher could not answer ({error.fault.kind}).", detail=str(error)) from None
        except BudgetReached as error:
            raise EngineFailed(
                "The budget for the teacher's answers is spent.", status=503, detail=str(error)
            ) from None
        except DistilError as error:
            self._ended_at = self._ended_at or time.monotonic()
            status = 503 if isinstance(error, QuotaExhausted) else 502
            raise EngineFailed("The teacher can't be reached.", status=status, detail=str(error)) from None
        self._failed_at = None
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
