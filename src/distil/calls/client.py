"""`Client.complete(Request) -> Reply`: the only way to ask a model behind an API, and the only way to pay.

    async with Client(ledger=project.ledger, teachers=[...], budget_usd=50) as client:
        reply = await client.complete(request)
        async for request, result in client.map(requests): ...

What was answered before comes from the ledger and costs nothing. Used by every stage that asks a model; it knows nothing of
prompts, files or stages.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from distil.calls.breaker import GIVE_UP_S
from distil.calls.budget import Budget
from distil.calls.config import TeacherConfig
from distil.calls.faults import CallFailed, Fault, GarbledReply
from distil.calls.flow import Result, run_all
from distil.calls.identify import Identity
from distil.calls.ledger import Ledger, Recorded, Stored
from distil.calls.provider import Parsed
from distil.calls.request import Reply, Request
from distil.calls.stats import Stats
from distil.calls.teacher import Answer, Teacher
from distil.calls.transport import Transport
from distil.errors import UserError, did_you_mean


class Client:
    """One per run. `budget_usd` caps what is ever paid, in this ledger, for the purposes that this client asks for.

    ledger: path or Ledger; teachers: who can be asked (a request names one by its `model`); give_up_s: seconds without any
    success after which the run stops; root: where relative paths of recorded/ and local/ start (default: the ledger's folder).
    """

    def __init__(
        self,
        ledger: Ledger | Path | str,
        teachers: Sequence[TeacherConfig],
        budget_usd: float | None = None,
        *,
        give_up_s: float = GIVE_UP_S,
        root: Path | None = None,
    ) -> None:
        self._own_ledger = not isinstance(ledger, Ledger)
        self.ledger = ledger if isinstance(ledger, Ledger) else Ledger(ledger)
        self._configs = {teacher.model: teacher for teacher in teachers}
        self._give_up_s = give_up_s
        self._root = root if root is not None else self.ledger.path.parent
        self._teachers: dict[str, Teacher] = {}
        self._asking: dict[str, asyncio.Future[Answer]] = {}
        self._purposes: set[str] = set()
        self._budget = Budget(budget_usd)
        self._transport = Transport()
        self._stats: Stats | None = None

    async def __aenter__(self) -> Self:
        """Opens the ledger for writing. Raises UserError or WorkFailed."""
        self._stats = Stats(asyncio.get_running_loop().time)
        self.ledger.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.close()
        if self._own_ledger:
            self.ledger.close()

    @property
    def stats(self) -> Stats:
        """Counters for the live display, as of now."""
        if self._stats is None:
            raise RuntimeError("the client is used outside `async with`")
        stats = self._stats
        stats.limit = sum(teacher.gate.limit for teacher in self._teachers.values())
        rates = [teacher.gate.rate_limit for teacher in self._teachers.values()]
        known = [rate for rate in rates if rate is not None]
        stats.rate_limit = sum(known) if known and len(known) == len(rates) else None
        return stats

    def key(self, request: Request) -> str:
        """The request's key in the ledger: known before anything is sent. Raises UserError."""
        return self._teacher(request.model).identify(request).key

    async def complete(self, request: Request) -> Reply:
        """The answer to one request, from the ledger or paid for; durable before it is returned.

        Raises CallFailed when this request has no answer; BudgetReached, QuotaExhausted, ProviderDown, UserError or WorkFailed
        when there will be no more answers at all.
        """
        teacher = self._teacher(request.model)
        identity = teacher.identify(request)
        stored = self.ledger.find(identity.key)
        if stored is not None:
            reply = self._from_ledger(teacher, request, identity, stored)
            if reply is not None:
                self.stats.cached += 1
                return reply
        under_way = self._asking.get(identity.key)
        if under_way is not None:
            # The same question twice at once is paid once.
            reply = _reply(request, identity, await asyncio.shield(under_way), cached=True)
            self.stats.cached += 1
            return reply
        self._count_earlier(request.purpose)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._asking[identity.key] = future
        try:
            answer = await teacher.ask(request, identity)
            future.set_result(answer)
            return _reply(request, identity, answer, cached=False)
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError):
                future.cancel()
            else:
                future.set_exception(error)
                future.exception()  # seen: nobody need be waiting for the same question
            raise
        finally:
            del self._asking[identity.key]

    async def map(
        self, *requests: Iterable[Request], concurrency: int | None = None
    ) -> AsyncGenerator[tuple[Request, Result], None]:
        """Answers in the order in which they come, from lazily read streams of requests; memory does not grow with their number.

        requests: one stream per teacher keeps a slow teacher from holding up a fast one; concurrency: most requests of one
        stream at once, waiting ones included (default: twice the limits of all teachers). Yields (request, Reply or
        CallFailed). What ends the run (BudgetReached, ...) is raised once everything in flight has been yielded.
        """
        if concurrency is None:
            concurrency = 2 * sum(config.limits.concurrency for config in self._configs.values()) + 32
        async with contextlib.aclosing(run_all(self.complete, requests, concurrency)) as results:
            async for pair in results:
                yield pair

    # -- inside -----------------------------------------------------------------------------------------------------

    def _teacher(self, model: str) -> Teacher:
        teacher = self._teachers.get(model)
        if teacher is not None:
            return teacher
        config = self._configs.get(model)
        if config is None:
            raise UserError(
                f"No teacher is called {model!r}.{did_you_mean(model, self._configs)} "
                f"Known here: {', '.join(self._configs) or 'none'}; add it under `teachers` in distil.yaml."
            )
        teacher = Teacher(
            config,
            ledger=self.ledger,
            budget=self._budget,
            stats=self.stats,
            transport=self._transport,
            give_up_s=self._give_up_s,
            root=self._root,
        )
        self._teachers[model] = teacher
        return teacher

    def _count_earlier(self, purpose: str) -> None:
        """What earlier runs paid, and may have paid, for a purpose counts against the cap."""
        if purpose not in self._purposes:
            self._purposes.add(purpose)
            if self._budget.cap_usd is not None:
                self._budget.settle(0.0, self.ledger.spent(purpose), self.ledger.uncertain(purpose).usd)

    def _from_ledger(self, teacher: Teacher, request: Request, identity: Identity, stored: Stored) -> Reply | None:
        if stored.call.status == "answered":
            if stored.reply is None:
                raise _failed(
                    request,
                    identity,
                    f"{identity.key} was answered and paid for on {stored.call.created[:10]}, and its text was pruned from the "
                    "ledger; it is not asked again.",
                )
            try:
                parsed = teacher.parse(stored.reply)
            except (GarbledReply, ValueError) as error:
                raise _failed(request, identity, f"the reply in the ledger can't be read: {error}") from None
            return _reply(request, identity, Answer(parsed, stored.call.usd, stored.call.latency_s or 0.0), cached=True)
        if stored.open and stored.call.tier == "batch":
            raise _failed(
                request, identity, "it lies in a batch job that is not finished; `distil collect` fetches it."
            )
        for body in self.ledger.garbled(identity.key):
            try:
                parsed = teacher.parse(body)
            except (GarbledReply, ValueError):
                continue
            return self._read_at_last(teacher, request, identity, parsed, body)
        return None

    def _read_at_last(
        self, teacher: Teacher, request: Request, identity: Identity, parsed: Parsed, body: bytes
    ) -> Reply:
        """A body that came long ago and that only a newer parser can read."""
        quote = teacher.quote(request.tier)
        answer = Answer(parsed, quote.cost(parsed.usage), 0.0)
        self.ledger.record(
            [
                Recorded(
                    key=identity.key,
                    purpose=request.purpose,
                    model=request.model,
                    request=identity.body,
                    reply=body,
                    usage=parsed.usage,
                    usd=answer.usd,
                    endpoint=teacher.endpoint,
                    tier=request.tier,
                    sample=request.sample,
                    price=(quote.input, quote.output, quote.source),
                )
            ]
        )
        return _reply(request, identity, answer, cached=True)


def _reply(request: Request, identity: Identity, answer: Answer, *, cached: bool) -> Reply:
    parsed = answer.parsed
    return Reply(
        text=parsed.text,
        reasoning=parsed.reasoning,
        tool_calls=parsed.tool_calls,
        finish_reason=parsed.finish_reason,
        usage=parsed.usage,
        logprobs=parsed.logprobs,
        usd=answer.usd,
        latency_s=answer.latency_s,
        model=request.model,
        call_id=identity.key,
        cached=cached,
    )


def _failed(request: Request, identity: Identity, message: str) -> CallFailed:
    fault = Fault("bad_request", message, None, retryable=False)
    return CallFailed(message, request=request, fault=fault, call_id=identity.key)
