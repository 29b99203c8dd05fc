"""The gateway: asks the student, decides whether its answer stands, asks the teacher where it does not, counts and captures.

No HTTP (app.py) and no model (engines.py, teacher.py). Made by stage.py.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from distil.ids import content_id
from distil.records import Message
from distil.runs.manifest import now
from distil.serve.calibration.confidence import confidence
from distil.serve.capture import Capture
from distil.serve.engines.base import Engine
from distil.serve.fallback import Fallback
from distil.serve.metrics import SECONDS, SHARES, Metrics
from distil.serve.policy import Decision, Policy
from distil.serve.wire import BadRequest, ChatReply, ChatRequest, EngineFailed


@dataclass(frozen=True)
class Outcome:
    """An answer, who gave it and why."""

    answered: ChatReply
    decision: Decision
    confidence: float | None

    def headers(self) -> dict[str, str]:
        """What a reply says about itself."""
        found = {"x-distil-answered-by": self.decision.by, "x-distil-reason": self.decision.reason}
        return found | ({} if self.confidence is None else {"x-distil-confidence": f"{self.confidence:.4f}"})


class Gateway:
    """One served name. `teacher` None = no fallback, which only the policy `off` allows."""

    def __init__(
        self,
        name: str,
        student: Engine,
        policy: Policy,
        *,
        teacher: Fallback | None = None,
        capture: Capture | None = None,
        student_on_failure: bool = False,
        temperature: float = 0.0,
        max_tokens: int = 500,
    ) -> None:
        if teacher is None and policy.mode != "off":
            raise ValueError(f"policy {policy.mode} needs a teacher")
        self.name, self.student, self.policy, self.teacher, self.capture = name, student, policy, teacher, capture
        self.temperature, self.max_tokens = temperature, max_tokens
        self._student_on_failure = student_on_failure
        self.metrics = _declare(Metrics())
        self.fingerprint = ""

    async def start(self) -> None:
        """Loads the student (unless it is never asked), opens the teacher's client and the capture file. Raises UserError."""
        if self.policy.asks_student:
            await self.student.start()
            self.fingerprint = content_id("fp", self.student.identity)
        if self.teacher is not None:
            await self.teacher.start()
        if self.capture is not None:
            self.capture.start()

    async def stop(self) -> None:
        """Finishes what is under way and writes what was captured."""
        if self.policy.asks_student:
            await self.student.stop()
        if self.teacher is not None:
            await self.teacher.stop()
        if self.capture is not None:
            self.capture.stop()

    async def answer(self, asked: ChatRequest) -> Outcome:
        """One request. Raises BadRequest (EngineFailed, Overloaded) with the status to reply with."""
        started = time.monotonic()
        self.metrics.add("distil_in_flight")
        try:
            outcome = await self._answer(asked)
        except BadRequest as error:
            self.metrics.add("distil_errors_total", status=str(error.status))
            raise
        finally:
            self.metrics.add("distil_in_flight", -1)
        self._count(outcome, time.monotonic() - started)
        return outcome

    async def _answer(self, asked: ChatRequest) -> Outcome:
        said: ChatReply | None = None
        sure: float | None = None
        decision = self.policy.before(asked.sampling.temperature)
        if decision is None:
            try:
                said = await self.student.answer(asked)
                sure = confidence(said, self.policy.score)
                decision = self.policy.after(sure)
            except EngineFailed:
                if self.teacher is None:
                    raise
                decision = Decision("teacher", "student_failed")
        if decision.by == "student" and said is not None:
            return Outcome(said, decision, sure)
        assert self.teacher is not None
        try:
            told = await self.teacher.answer(asked)
        except EngineFailed:
            if said is None or not self._student_on_failure:
                raise
            return Outcome(said, Decision("student", f"{decision.reason}_but_teacher_failed"), sure)
        outcome = Outcome(told, decision, sure)
        if self.capture is not None:
            self.capture.add(_captured(asked, said, outcome))
        return outcome

    def streams_through(self) -> bool:
        """Whether a stream can pass as it comes: the gate needs the whole answer, so only without fallback."""
        return self.policy.mode == "off" and hasattr(self.student, "stream")

    async def stream(self, asked: ChatRequest) -> AsyncIterator[bytes]:
        """The student's own stream. Only when `streams_through`."""
        self.metrics.add("distil_requests_total", answered_by="student", reason="fallback_off")
        self.metrics.add("distil_in_flight")
        try:
            async for chunk in self.student.stream(asked):  # type: ignore[attr-defined]
                yield chunk
        finally:
            self.metrics.add("distil_in_flight", -1)

    def metrics_text(self) -> str:
        """Everything that /metrics shows."""
        gauges = dict(self.student.gauges()) if self.policy.asks_student else {}
        if self.capture is not None:
            gauges["distil_captured_total"] = self.capture.kept
            gauges["distil_capture_dropped_total"] = self.capture.dropped
        if self.teacher is not None:
            gauges["distil_teacher_usd_total"] = self.teacher.usd
        if self.policy.threshold is not None:
            gauges["distil_threshold"] = self.policy.threshold
        return self.metrics.text(gauges)

    def _count(self, outcome: Outcome, seconds: float) -> None:
        by, usage = outcome.decision.by, outcome.answered.usage
        self.metrics.add("distil_requests_total", answered_by=by, reason=outcome.decision.reason)
        self.metrics.add("distil_tokens_total", usage.input_tokens, answered_by=by, kind="input")
        self.metrics.add("distil_tokens_total", usage.output_tokens, answered_by=by, kind="output")
        self.metrics.observe("distil_request_seconds", seconds, answered_by=by)
        if outcome.confidence is not None:
            self.metrics.observe("distil_confidence", outcome.confidence)


def _declare(metrics: Metrics) -> Metrics:
    metrics.describe("distil_requests_total", "counter", "Answered requests, by who answered and why.")
    metrics.describe("distil_errors_total", "counter", "Requests that got an error, by HTTP status.")
    metrics.describe("distil_tokens_total", "counter", "Tokens of answered requests.")
    metrics.describe("distil_in_flight", "gauge", "Requests being answered.")
    metrics.describe("distil_request_seconds", "histogram", "Seconds from request to answer.", SECONDS)
    metrics.describe("distil_confidence", "histogram", "The student's confidence in its answers.", SHARES)
    return metrics


def _captured(asked: ChatRequest, said: ChatReply | None, outcome: Outcome) -> dict[str, Any]:
    messages: list[Message] = asked.messages
    line: dict[str, Any] = {"messages": [m.to_wire() for m in messages]}
    if asked.tools:
        line["tools"] = asked.tools
    if asked.response_format:
        line["response_format"] = asked.response_format
    line["captured"] = {
        "at": now(),
        "reason": outcome.decision.reason,
        "confidence": outcome.confidence,
        "student": None if said is None else said.text,
        "teacher": outcome.answered.text,
    }
    return line
