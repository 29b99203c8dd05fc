"""`Client.complete(Request) -> Reply`: the only way to call a model behind an API, and the only way to pay.

    async with Client(ledger=project.ledger, teachers=[...], budget_usd=50) as client:
        reply = await client.complete(request)
        async for number, result in client.map(enumerate(requests)): ...

What was answered before comes from the ledger and costs nothing. Knows nothing of prompts, files or stages.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable, Sequence
from pathlib import Path
from typing import Self

from distil.calls.config import TeacherConfig, by_model
from distil.calls.faults import CallFailed, Fault, FaultKind, GarbledReply
from distil.calls.flow import Result, Tag, patient, run_all
from distil.calls.http.transport import Transport
from distil.calls.identity import Identity
from distil.calls.ledger.store import Ledger, Stored
from distil.calls.limits.budget import CAP_OPTION, Budget
from distil.calls.request import Reply, Request
from distil.calls.session import KeptReply, ModelSession
from distil.calls.stats import Admission, Stats
from distil.errors import DistilError, Interrupted, UserError, WorkFailed, did_you_mean
from distil.records import Call

STOPPED = "Stopped. Every answer that arrived is kept; run the same command again to continue."


class Client:
    """One per run. `budget_usd` caps what is ever paid, in this ledger, for the purposes that this client asks for.

    ledger: path or Ledger; teachers: the models to call (a request names one by its `model`); root: where relative paths of
    recorded/ and local/ start (default: the ledger's folder); cap_option: the command-line option that raises the cap, for the
    message of BudgetReached.
    """

    def __init__(
        self,
        ledger: Ledger | Path | str,
        teachers: Sequence[TeacherConfig],
        budget_usd: float | None = None,
        *,
        root: Path | None = None,
        cap_option: str = CAP_OPTION,
    ) -> None:
        self._own_ledger = not isinstance(ledger, Ledger)
        self.ledger = ledger if isinstance(ledger, Ledger) else Ledger(ledger)
        self._configs = by_model(teachers)
        self._root = root if root is not None else self.ledger.path.parent
        self._sessions: dict[str, ModelSession] = {}
        self._in_flight: dict[str, asyncio.Future[KeptReply]] = {}
        self._purposes: set[str] = set()
        self._budget = Budget(budget_usd, option=cap_option)
        self._transport = Transport()
        self._stats: Stats | None = None
        self._ending: asyncio.Future[None] | None = None
        self._ended: DistilError | None = None
        self._open: set[AsyncGenerator[object, None]] = set()

    async def __aenter__(self) -> Self:
        """Opens the ledger for writing. Raises UserError or WorkFailed."""
        self._stats = Stats(asyncio.get_running_loop().time, self._admission)
        self._ending = asyncio.get_running_loop().create_future()
        self.ledger.start()
        return self

    async def __aexit__(self, *exception: object) -> None:
        error = exception[1]
        if isinstance(error, Exception):  # a consumer failed: nothing more is sent, and what is paid for is still kept
            self.stop(error if isinstance(error, DistilError) else WorkFailed(f"{type(error).__name__}: {error}"))
            for results in list(self._open):
                await results.aclose()
        for session in self._sessions.values():
            await session.close()
        await self._transport.close()
        if self._own_ledger:
            self.ledger.close()

    @property
    def stats(self) -> Stats:
        """Counters for the live display."""
        if self._stats is None:
            raise RuntimeError("the client is used outside `async with`")
        return self._stats

    @property
    def ended(self) -> DistilError | None:
        """Why nothing more is sent; also where everything in flight could still be answered."""
        return self._ended

    def key(self, request: Request) -> str:
        """The request's key in the ledger: known before anything is sent. Raises UserError."""
        return self._teacher(request.model).identify(request).key

    def cap(self, usd: float | None) -> None:
        """Another cap from now on, on the same sum; set it before the first request, or what was paid earlier isn't counted."""
        self._budget.raise_to(usd)

    @property
    def paid_usd(self) -> float:
        """What counts against the cap: paid, or maybe paid, for the purposes that this client has asked for."""
        return self._budget.spent_usd + self._budget.uncertain_usd

    def answered(self, request: Request) -> bool:
        """Whether the ledger has an answer, which costs nothing. Raises UserError."""
        stored = self.ledger.find(self.key(request))
        return stored is not None and stored.call.status == "answered" and stored.reply is not None

    def kept(self, request: Request) -> Reply | None:
        """The ledger's answer, which costs nothing; None where there is none.

        Raises CallFailed for one that can't be used, and UserError for a request that the model does not take.
        """
        teacher = self._teacher(request.model)
        identity = teacher.identify(request)
        stored = self.ledger.find(identity.key)
        return None if stored is None else self._kept(teacher, request, identity, stored)

    def check(self, request: Request) -> None:
        """Before any work: raises UserError when its key, its price or its model is unknown."""
        teacher = self._teacher(request.model)
        teacher.ready(request, teacher.identify(request))

    async def complete(self, request: Request) -> Reply:
        """The answer to one request, from the ledger or paid for; durable before it is returned.

        Raises CallFailed when this request has no answer; BudgetReached, QuotaExhausted, ProviderDown, UserError or WorkFailed
        when there will be no more answers at all.
        """
        if self._ended is not None:
            raise self._ended
        teacher = self._teacher(request.model)
        identity = teacher.identify(request)
        if request.further and not any(getattr(one, "takes_further", False) for one in teacher.opened.replicas):
            names = ", ".join(request.further)[:200]
            raise _failed(request, identity, f"{request.model} does not take the parameter {names}.")
        stored = self.ledger.find(identity.key)
        if stored is not None and (reply := self._kept(teacher, request, identity, stored)) is not None:
            return reply
        while (in_flight := self._in_flight.get(identity.key)) is not None:
            # The same request twice at once is paid once.
            try:
                reply = _reply(request, identity, await asyncio.shield(in_flight), cached=True)
            except asyncio.CancelledError:
                if in_flight.cancelled() and not _being_cancelled():
                    continue  # whoever asked it has left: then it is asked here
                raise
            self.stats.cached += 1
            return reply
        identity = teacher.ready(request, identity)
        self._count_earlier(request.purpose)
        future: asyncio.Future[KeptReply] = asyncio.get_running_loop().create_future()
        self._in_flight[identity.key] = future
        try:
            answer = await teacher.call(request, identity)
            future.set_result(answer)
            return _reply(request, identity, answer, cached=False)
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError):
                future.cancel()
            else:
                future.set_exception(error)
                future.exception()  # retrieved: there may be no waiter for the same question
            raise
        finally:
            del self._in_flight[identity.key]

    async def map(
        self, *streams: Iterable[tuple[Tag, Request]], concurrency: int | None = None
    ) -> AsyncGenerator[tuple[Tag, Result], None]:
        """Answers in the order in which they come, from lazily read streams of (tag, request).

        A tag is anything by which the caller knows its request; it comes back as (tag, Reply or CallFailed). One stream per
        teacher keeps a slow teacher from holding up a fast one. Memory does not grow with the number of requests.
        concurrency: limit on the requests of one stream at once, waiting ones included (default: twice the limits of all
        teachers). What ends the run (BudgetReached, ...) is raised once everything in flight has been yielded.
        """
        if concurrency is None:
            concurrency = 2 * sum(config.limits.concurrency for config in self._configs.values()) + 32
        with patient(self._interrupted):
            async with contextlib.aclosing(run_all(self.complete, streams, concurrency)) as results:
                self._open.add(results)
                try:
                    async for pair in results:
                        yield pair
                finally:
                    self._open.discard(results)

    def stop(self, error: DistilError) -> None:
        """Sends nothing more; what is in flight finishes and is kept. `map` and `complete` then raise `error`."""
        self._ended = self._ended or error
        if self._ending is not None and not self._ending.done():
            self._ending.set_result(None)
        for teacher in self._sessions.values():
            teacher.gate.close(self._ended)

    def reopen(self, model: str) -> None:
        """Starts a new session for a model after an error (down, no money, a full disk): a gateway has no next run."""
        self._sessions.pop(model, None)
        self.ledger.retry()

    # -- inside -----------------------------------------------------------------------------------------------------

    def _admission(self) -> Admission:
        gates = [session.gate for session in self._sessions.values()]
        rates = [gate.rate_limit for gate in gates]
        waiting = next((why for gate in gates if (why := gate.waiting) is not None), None)
        known = [rate for rate in rates if rate is not None]
        rate_limit = sum(known) if known and len(known) == len(rates) else None
        return Admission(sum(gate.limit for gate in gates), rate_limit, self._budget.waiting, waiting)

    def _interrupted(self) -> int:
        self.stop(Interrupted(STOPPED))
        return self.stats.in_flight

    def _teacher(self, model: str) -> ModelSession:
        teacher = self._sessions.get(model)
        if teacher is not None:
            return teacher
        config = self._configs.get(model)
        if config is None:
            raise UserError(
                f"No teacher is named {model!r}.{did_you_mean(model, self._configs)} "
                f"Known here: {', '.join(self._configs) or 'none'}; add it under `teachers` in distil.yaml."
            )
        assert self._ending is not None, "the client is used outside `async with`"
        teacher = ModelSession(
            config,
            ledger=self.ledger,
            budget=self._budget,
            stats=self.stats,
            transport=self._transport,
            root=self._root,
            ending=self._ending,
        )
        self._sessions[model] = teacher
        return teacher

    def _count_earlier(self, purpose: str) -> None:
        """What earlier runs paid, and may have paid, for a purpose counts against the cap."""
        if purpose not in self._purposes:
            self._purposes.add(purpose)
            if self._budget.cap_usd is not None:
                self._budget.settle(0.0, self.ledger.spent(purpose), self.ledger.uncertain(purpose).usd)

    def _kept(self, teacher: ModelSession, request: Request, identity: Identity, stored: Stored) -> Reply | None:
        reply = self._from_ledger(teacher, request, identity, stored)
        if reply is not None:
            self.stats.cached += 1
            teacher.outage.worked()
        return reply

    def _from_ledger(self, teacher: ModelSession, request: Request, identity: Identity, stored: Stored) -> Reply | None:
        if stored.call.status == "answered":
            if stored.reply is None:
                raise _failed(request, identity, f"{explain_pruned(stored.call)}.", "pruned")
            try:
                parsed = teacher.parse(stored.reply)
            except (GarbledReply, ValueError) as error:
                why = f"the reply in the ledger isn't a whole answer: {error}"
                raise _failed(request, identity, why, "unreadable") from None
            answer = KeptReply(parsed, stored.call.usd, stored.call.latency_s or 0.0)
            return _reply(request, identity, answer, cached=True)
        if stored.open and stored.call.tier == "batch":
            raise _failed(request, identity, "it is in an unfinished batch job; `distil collect` fetches it.")
        for body in self.ledger.garbled(identity.key):
            try:
                parsed = teacher.parse(body)
            except (GarbledReply, ValueError):
                continue
            # It came earlier, and only a newer parser can read it.
            made = teacher.recorded(request, identity, parsed, body)
            self.ledger.record([made])
            return _reply(request, identity, KeptReply(parsed, made.usd, 0.0), cached=True)
        return None


def _reply(request: Request, identity: Identity, answer: KeptReply, *, cached: bool) -> Reply:
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


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def explain_pruned(call: Call) -> str:
    """Why a call that is answered has no text."""
    return f"its text was pruned from the ledger; it was paid for on {call.created[:10]} and is not requested again"


def _failed(request: Request, identity: Identity, message: str, kind: FaultKind = "bad_request") -> CallFailed:
    fault = Fault(kind, message, None, retryable=False)
    return CallFailed(message, request=request, fault=fault, call_id=identity.key)
