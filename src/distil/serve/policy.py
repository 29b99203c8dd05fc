"""Whether the student's answer is used: a pure decision over a confidence. No model and no HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from distil.serve.wire import ChatRequest

Mode = Literal["off", "always", "threshold", "calibrated"]


class Decision(NamedTuple):
    """Who answers, and why: the reason goes into a reply's headers and into the captured prompt."""

    by: Literal["student", "teacher"]
    reason: str


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

    @property
    def uses_student(self) -> bool:
        """Whether a request goes to the student at all."""
        return self.mode in ("off", "threshold") or (self.mode == "calibrated" and self.threshold is not None)

    def before(self, request: ChatRequest) -> Decision | None:
        """The decision that needs no answer of the student, or None."""
        if self.mode == "always":
            return Decision("teacher", "fallback_always")
        if self.mode != "off" and self.threshold is None:
            return Decision("teacher", "no_certified_threshold")
        if self.mode == "off":
            return None
        if request.beyond is not None:
            return Decision("teacher", request.beyond)
        if self.temperature is not None and request.sampling.temperature != self.temperature:
            return Decision("teacher", "not_calibrated_at_this_temperature")
        return None

    def after(self, confidence: float | None) -> Decision:
        """Whether the student's answer is used; confidence None = it came without log-probabilities."""
        if self.mode == "off":
            return Decision("student", "fallback_off")
        if confidence is None:
            return Decision("teacher", "no_logprobs")
        if self.threshold is None or confidence < self.threshold:
            return Decision("teacher", "unsure")
        return Decision("student", "confident")
