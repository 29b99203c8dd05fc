"""The way from the gateway to the teacher: through distil.calls, so that every answer is priced, capped and in the ledger.

The same question asked twice is answered from the ledger and costs nothing; a fallback therefore never has to be collected again.
Called by gateway.py.
"""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from distil.calls.config import TeacherConfig
from distil.errors import BudgetReached, DistilError
from distil.records import Message, Sampling
from distil.serve.wire import BadRequest, ChatReply, ChatRequest, EngineFailed

AGAIN_S = 5.0
"""After an outage that would have ended a run, nobody is asked for so long; then it is tried anew."""


class Fallback:
    """Asks the first of the configured teachers."""

    def __init__(self, ledger: Path, teacher: TeacherConfig, budget_usd: float | None) -> None:
        self.name = teacher.model
        self._ledger, self._config, self._budget = ledger, teacher, budget_usd
        self._stack = AsyncExitStack()
        self._client: Any = None
        self._ended_at: float | None = None
        self.usd = 0.0

    async def start(self) -> None:
        """Opens the client. Raises UserError for an unknown model, a missing key or an unknown price."""
        from distil.calls.client import Client
        from distil.calls.request import Request

        client = Client(ledger=self._ledger, teachers=[self._config], budget_usd=self._budget)
        self._client = await self._stack.enter_async_context(client)
        try:
            client.check(
                Request(model=self.name, messages=[Message(role="user", content="?")], sampling=self._config.sampling)
            )
        except DistilError:
            await self._stack.aclose()
            raise

    async def stop(self) -> None:
        """Closes the client once the calls under way are done."""
        await self._stack.aclose()

    async def answer(self, asked: ChatRequest) -> ChatReply:
        """Raises BadRequest where the request is at fault, EngineFailed (502, or 503 without budget) otherwise."""
        from distil.calls.faults import CallFailed, QuotaExhausted
        from distil.calls.request import Request

        request = Request(
            model=self.name,
            messages=asked.messages,
            sampling=self.sampling(asked),
            purpose="serve",
            tools=asked.tools,
            response_format=asked.response_format,
        )
        if self._ended_at is not None and time.monotonic() - self._ended_at >= AGAIN_S:
            self._ended_at = None
            self._client.reopen(self.name)
        try:
            reply = await self._client.complete(request)
        except CallFailed as error:
            if error.fault.kind == "bad_request":
                raise BadRequest(f"The teacher refused the request: {error}") from None
            raise EngineFailed(f"The teacher could not answer: {error}") from None
        except BudgetReached as error:
            raise EngineFailed(f"The teacher may not be asked any more: {error}", status=503) from None
        except DistilError as error:
            self._ended_at = self._ended_at or time.monotonic()
            status = 503 if isinstance(error, QuotaExhausted) else 502
            raise EngineFailed(f"The teacher could not be asked: {error}", status=status) from None
        self.usd += 0.0 if reply.cached else reply.usd
        return ChatReply(
            text=reply.text,
            finish_reason=reply.finish_reason,
            usage=reply.usage,
            tool_calls=reply.tool_calls,
            logprobs=reply.logprobs if asked.logprobs else None,
        )

    def sampling(self, asked: ChatRequest) -> Sampling:
        """The teacher's own settings, as they were when the student learned from it, under what the client names itself."""
        named = {
            field: getattr(asked.sampling, field)
            for field, keys in _NAMED.items()
            if any(asked.body.get(key) is not None for key in keys)
        }
        return self._config.sampling.model_copy(update=named)


_NAMED = {
    "temperature": ("temperature",),
    "top_p": ("top_p",),
    "max_tokens": ("max_tokens", "max_completion_tokens"),
    "stop": ("stop",),
    "seed": ("seed",),
    "top_logprobs": ("top_logprobs",),
}
