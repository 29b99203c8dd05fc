"""The gateway: gets the student's answer, uses it or gets the teacher's instead, counts and captures.

No HTTP (http/) and no model (engines/, fallback.py).
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from distil.ids import content_id
from distil.runs.schemas.gateway_state import LiveFigures
from distil.serve.apis.checked import Defaults
from distil.serve.capture import Capture
from distil.serve.captured import captured_line
from distil.serve.certificate.reasons import Reason
from distil.serve.certificate.shape import tokens_of
from distil.serve.certificate.watch import CanaryWatch
from distil.serve.config import StreamMode
from distil.serve.deadline import Deadline
from distil.serve.engines.base import Engine, StreamingEngine
from distil.serve.fallback import Fallback
from distil.serve.keys import Keys
from distil.serve.metrics import Metrics
from distil.serve.page.board import Board
from distil.serve.policy import Decision, Policy
from distil.serve.requirement import demands_calls, meets_requirement
from distil.serve.served import Companion, Refused, Served, StudentId, Watcher
from distil.serve.streamed import Streamed
from distil.serve.wire import BadRequest, ChatReply, ChatRequest, EngineFailed, Overloaded, TooLong
from distil.terminal import show_exception

if TYPE_CHECKING:
    from starlette.responses import Response

RETRY_AFTER_S = 5
IDLE_S = 20.0
"""How long a stream that has begun may be silent."""


class Asked(NamedTuple):
    """A request that goes to the teacher."""

    request: ChatRequest
    decision: Decision
    confidence: float | None
    student: ChatReply | None
    student_id: StudentId
    deadline: Deadline


class Gateway:
    """Serves one model name. `teacher` None = no fallback, which only the policy `off` allows."""

    def __init__(
        self,
        name: str,
        student: Engine,
        policy: Policy,
        *,
        teacher: Fallback | None = None,
        capture: Capture | None = None,
        keys: Keys | None = None,
        student_on_failure: bool = False,
        temperature: float = 0.0,
        max_tokens: int = 500,
        stream_mode: StreamMode = "buffer",
        deadline_s: float | None = None,
    ) -> None:
        if teacher is None and policy.mode != "off":
            raise ValueError(f"policy {policy.mode} needs a teacher")
        self.name, self.student, self.policy, self.teacher, self.capture = name, student, policy, teacher, capture
        self.defaults = Defaults(name, temperature, max_tokens)
        self._student_on_failure = student_on_failure
        self.metrics = Metrics(self._figures)
        self.watchers: list[Watcher] = [self.metrics.count]
        """Called for each answered request, in this order."""
        if capture is not None:
            self.watchers.append(self._capture)
        self.refusals: list[Refused] = []
        """Called for each request that gets an error."""
        self.at_end: list[Callable[[], None]] = []
        """Called once all requests are answered."""
        self.board: Board | None = None
        """What the page shows; None = there is no page."""
        self.stream_mode, self.deadline_s, self.idle_s = stream_mode, deadline_s, IDLE_S
        self.audit_share = 0.0
        """Smallest probability with which an answer of the student is audited."""
        self.companions: list[Companion] = []
        """What starts after the gateway and stops before it."""
        self.live: Callable[[], LiveFigures] | None = None
        """What the audits say about the student's answers; None where there are none."""
        self._started = AsyncExitStack()
        """What must be stopped."""
        self.asking: set[asyncio.Task[Response]] = set()
        """The requests that are not answered yet."""
        self.closing = False
        """What is not answered by now must end, so that the gateway can."""
        self.watch: CanaryWatch | None = None
        """Whether the calibrated model still answers behind a URL."""
        self.keys = keys or Keys(None)
        self.student_id = StudentId(name, "")
        self.host: str | None = None
        """The address that it listens on, set by the server."""

    async def start(self) -> None:
        """Opens the capture file and the teacher's client, loads the student (unless it is never used), then all beside it.

        Raises UserError; what has started by then is stopped again.
        """
        async with AsyncExitStack() as stack:
            for end in reversed(self.at_end):
                stack.callback(end)
            if self.capture is not None:
                self.capture.start()
                stack.callback(self.capture.stop)
            if self.teacher is not None:
                await self.teacher.start()
                stack.push_async_callback(self.teacher.stop)
            if self.policy.uses_student:
                await self._start_student(stack)
            for companion in self.companions:
                await companion.start()
                stack.push_async_callback(companion.stop)
            self._started = stack.pop_all()

    async def _start_student(self, stack: AsyncExitStack) -> None:
        await self.student.start()

        async def stop() -> None:
            await self.student.stop()  # the one that serves by then

        stack.push_async_callback(stop)
        self.student_id = StudentId(self.name, content_id("fp", self.student.identity))
        if self.watch is not None:
            await self.watch.start(self.student, self._switch)
            stack.push_async_callback(self.watch.stop)

    def _switch(self, changed: str | None) -> None:
        self.policy = replace(self.policy, changed=changed is not None)

    @property
    def fingerprint(self) -> str:
        """Of the student that serves, for a reply's `system_fingerprint`."""
        return self.student_id.fingerprint

    def close(self) -> None:
        """Ends what is not answered yet: clients hear that they should try again."""
        self.closing = True
        for task in list(self.asking):
            task.cancel()

    async def stop(self) -> None:
        """Ends what works beside it, finishes the running requests and writes what was captured. Repeatable."""
        await self._started.aclose()

    async def answer(self, request: ChatRequest) -> Served:
        """Raises BadRequest (EngineFailed, Overloaded) with the status to reply with."""
        with self.metrics.in_flight.track_inprogress():
            return await self._told(await self._answer(request, time.monotonic()))

    async def stream(self, request: ChatRequest) -> Served | Streamed:
        """A student's answer that is still on its way where it may be passed on so, else a finished one. Raises BadRequest."""
        if not self.streams_live(request):
            return await self.answer(request)
        started = time.monotonic()
        self.metrics.in_flight.inc()
        live: Streamed | None = None
        try:
            found = await self._begin(request, started)
            live = found if isinstance(found, Streamed) else None
        finally:
            if live is None:
                self.metrics.in_flight.dec()
        return found

    async def _begin(self, request: ChatRequest, started: float) -> Served | Streamed:
        """Holds a stream's beginning back until it is decided who answers."""
        policy, student, who = self.policy, self.student, self.student_id  # another one may take its place meanwhile
        assert isinstance(student, StreamingEngine)
        deadline = Deadline(request.caller.deadline_s)
        decision, score = policy.before(request), None
        if decision is None:
            live = Streamed(student, request, self.idle_s, lambda: self.closing)
            try:
                async with deadline.for_student(alone=self.teacher is None):
                    begun = await self._guarded(live.hold(policy.prefix_tokens or 0))
                score = None if policy.mode == "off" else policy.confidence(begun)
                decision = policy.after(score)
                if decision.by == "student":
                    given = functools.partial(self._streamed, request, decision, score, who, started)
                    live.decided(decision, score, on_end=given, on_close=self.metrics.in_flight.dec)
                    return live
            except BadRequest as error:
                if self.teacher is None:
                    raise
                decision = Decision("teacher", _why(error))
            finally:
                if decision is None or decision.by == "teacher":
                    await live.close()
        return await self._told(await self._from_teacher(Asked(request, decision, score, None, who, deadline), started))

    async def _told(self, served: Served) -> Served:
        """A finished answer, once all who watch know of it and its captured line is on the disk."""
        self._tell(served)
        if served.teacher is not None and self.capture is not None:
            await self.capture.settled()
        return served

    def _streamed(
        self,
        request: ChatRequest,
        decision: Decision,
        score: float | None,
        who: StudentId,
        started: float,
        reply: ChatReply,
    ) -> None:
        self._tell(Served(request, decision, score, reply, None, time.monotonic() - started, student_id=who))

    def _tell(self, served: Served) -> None:
        for watch in self.watchers:
            try:
                watch(served)
            except Exception as error:  # who watches must not take an answer away
                show_exception(type(error), error, error.__traceback__)

    async def _answer(self, request: ChatRequest, started: float) -> Served:
        student: ChatReply | None = None
        score: float | None = None
        deadline = Deadline(request.caller.deadline_s)
        policy, engine, who = self.policy, self.student, self.student_id  # another one may take its place meanwhile
        decision = policy.before(request)
        if decision is None:
            try:
                async with deadline.for_student(alone=self.teacher is None):
                    student = await self._ask_student(request, engine)
                score = policy.confidence(student)
                decision = policy.after(score, tokens_of(student))
                if decision.by == "student" and not meets_requirement(request, student):
                    decision = Decision("teacher", Reason.REQUIREMENT_NOT_MET)
            except BadRequest as error:
                if self.teacher is None:
                    raise
                decision = Decision("teacher", _why(error))
        if decision.by == "student" and student is not None:
            return Served(request, decision, score, student, None, time.monotonic() - started, student_id=who)
        return await self._from_teacher(Asked(request, decision, score, student, who, deadline), started)

    async def _from_teacher(self, asked: Asked, started: float) -> Served:
        """The teacher's answer; the student's where the teacher fails and that is allowed. Raises BadRequest."""
        request, decision, score, student, who, deadline = asked
        teacher: ChatReply | None = None
        if self.teacher is None:
            raise EngineFailed(
                "The student's answer does not meet the request's response_format or tools, and there is no teacher.",
                status=422,
            )
        try:
            teacher = await self.teacher.answer(request, deadline.left_s)
        except EngineFailed as error:
            if student is None and error.status in (500, 502):  # nobody can answer: a client may try again soon
                error.status, error.retry_after_s = 503, error.retry_after_s or RETRY_AFTER_S
            if student is None or not self._student_on_failure:
                raise
            decision = Decision("student", f"{decision.reason}_but_teacher_failed")
        return Served(request, decision, score, student, teacher, time.monotonic() - started, student_id=who)

    async def _ask_student(self, request: ChatRequest, engine: Engine) -> ChatReply:
        """The student's answer. Raises BadRequest, also for what went wrong inside."""
        if request.beyond == "not_text":
            raise BadRequest(f"This model reads texts, and the messages hold {request.beyond_name}.", param="messages")
        if request.beyond == "unknown_parameter":
            name = request.beyond_name
            raise BadRequest(
                f"The parameter {name!r} is not supported, so it is not passed on. Leave it out.", param=name
            )
        return await self._guarded(engine.answer(request))

    async def _guarded(self, work: Awaitable[ChatReply]) -> ChatReply:
        """What the student's engine does. Raises BadRequest, also for what went wrong inside."""
        try:
            return await work
        except BadRequest:
            raise
        except Exception as error:
            show_exception(type(error), error, error.__traceback__)
            raise EngineFailed("The student could not answer; the gateway's log has the details.", status=500) from None

    async def ready(self) -> bool:
        """Whether requests can be answered now: by the student, or by the teacher."""
        if self.teacher is not None and not self.teacher.down:
            return True
        return self.policy.uses_student and not self.policy.changed and await self.student.ready()

    def streams_live(self, request: ChatRequest) -> bool:
        """Whether an answer is passed on while it is generated: without a decision, or with one that its beginning decides."""
        alone = request.samples == 1 and request.parallel_calls
        plain = alone and request.beyond in (None, "stop_sequences") and request.response_format is None
        if not plain or demands_calls(request) or not isinstance(self.student, StreamingEngine):
            return False
        if self.policy.mode == "off":
            return self.stream_mode != "off"
        return self.policy.prefix_tokens is not None and not request.tools

    def _capture(self, served: Served) -> None:
        """Captures what the teacher answered."""
        if self.capture is not None and self.teacher is not None and served.teacher is not None:
            self.capture.add(captured_line(served, served.teacher, self.teacher.name, share=self.audit_share))

    def _figures(self) -> dict[str, float]:
        """Further series for /metrics."""
        figures = dict(self.student.gauges()) if self.policy.uses_student else {}
        if self.capture is not None:
            figures["distil_captured_total"] = self.capture.written
            figures["distil_capture_dropped_total"] = self.capture.dropped
        if self.teacher is not None:
            figures["distil_teacher_usd_total"] = self.teacher.usd
            figures |= self.teacher.gauges()
        if self.watch is not None:
            figures |= self.watch.figures()
        if self.policy.threshold is not None:
            figures["distil_threshold"] = self.policy.threshold
        for companion in self.companions:
            figures |= companion.figures()
        if self.policy.mode == "calibrated":
            figures["distil_certified"] = float(self.policy.threshold is not None)
            figures["distil_certificate_refuted"] = float(self.policy.refuted)
        return figures


def _why(error: BadRequest) -> Reason:
    """The reason for which the teacher answers instead of a student that did not."""
    if isinstance(error, TooLong):
        return Reason.TOO_LONG
    if isinstance(error, Overloaded):
        return Reason.STUDENT_FULL
    return Reason.STUDENT_FAILED if isinstance(error, EngineFailed) else Reason.STUDENT_REFUSED
