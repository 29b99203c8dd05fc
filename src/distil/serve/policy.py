"""Whether the student's answer is used: a pure decision over a confidence. No model and no HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from distil.runs.schemas.shape import Shape
from distil.serve.calibration.confidence import confidence
from distil.serve.certificate.reasons import Reason
from distil.serve.certificate.shape import outside
from distil.serve.wire import ChatReply, ChatRequest

PENALTIES = ("frequency_penalty", "presence_penalty", "logit_bias")
Mode = Literal["off", "always", "threshold", "calibrated"]


class Decision(NamedTuple):
    """Who answers, and why: the reason goes into a reply's headers and into the captured prompt."""

    by: Literal["student", "teacher"]
    reason: str


def who_answered(decision: Decision, confidence: float | None) -> dict[str, str]:
    """HTTP headers that tell the client."""
    headers = {"x-distil-answered-by": decision.by, "x-distil-reason": decision.reason}
    return headers | ({} if confidence is None else {"x-distil-confidence": f"{confidence:.4f}"})


@dataclass(frozen=True)
class Policy:
    """The rule of one gateway."""

    mode: Mode
    threshold: float | None = None
    """Confidence from which the student answers; None = never (calibration accepted no threshold)."""
    score: str = "lowest_tenth"
    """Which score the threshold belongs to (confidence.SCORES)."""
    temperature: float | None = None
    """The temperature that the threshold was calibrated at; None = not calibrated."""
    shape: Shape | None = None
    """The requests that it was calibrated on; None = of any shape."""
    prefix_tokens: int | None = None
    """The threshold is one for the first so many tokens of an answer; None = for all of them."""
    closed: bool = False
    """Whether an alarm has shut the gate: the teacher answers what the student would have answered."""
    compares: bool = False
    """Whether the student is asked all the same while it is shut, for a comparison."""
    changed: bool = False
    """Whether another model answers now than the one that was calibrated."""
    refuted: bool = False
    """The test prompts refuted the threshold, so that there is none."""

    def confidence(self, reply: ChatReply) -> float | None:
        """The score that the threshold belongs to, for an answer or, with prefix_tokens, for its beginning."""
        return confidence(reply, self.score, self.prefix_tokens)

    @property
    def uses_student(self) -> bool:
        """Whether a request goes to the student at all."""
        return self.mode in ("off", "threshold") or (self.mode == "calibrated" and self.threshold is not None)

    def before(self, request: ChatRequest) -> Decision | None:
        """The decision that needs no answer of the student, or None."""
        if self.mode == "always":
            return Decision("teacher", Reason.FALLBACK_ALWAYS)
        if self.mode != "off" and self.threshold is None:
            return Decision("teacher", Reason.NO_CERTIFIED_THRESHOLD)
        if self.mode == "off":
            return None
        if self.changed:
            return Decision("teacher", Reason.STUDENT_CHANGED)
        if self.closed and not self.compares:
            return Decision("teacher", Reason.ALARM)
        if request.beyond is not None:
            penalizes = request.beyond_name in PENALTIES
            return Decision("teacher", Reason.PENALTIES if penalizes else Reason(request.beyond))
        if self.temperature is not None and request.sampling.temperature != self.temperature:
            return Decision("teacher", Reason.OTHER_TEMPERATURE)
        other = None if self.shape is None else outside(request, self.shape)
        return None if other is None else Decision("teacher", other)

    def after(self, confidence: float | None, tokens: int = 0) -> Decision:
        """Whether the student's answer of so many tokens is used; confidence None = it came without log-probabilities."""
        if self.mode == "off":
            return Decision("student", Reason.FALLBACK_OFF)
        if confidence is None:
            return Decision("teacher", Reason.NO_LOGPROBS)
        if self.threshold is None or confidence < self.threshold:
            return Decision("teacher", Reason.UNSURE)
        if self.shape is not None and tokens > self.shape.max_tokens:
            return Decision("teacher", Reason.LONGER_ANSWER)
        return Decision("teacher", Reason.ALARM) if self.closed else Decision("student", Reason.CONFIDENT)
