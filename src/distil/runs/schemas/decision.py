"""The decision on shipping and the evidence behind it: the deciding metric, the guards, and how often the test set was used.

Not the rules: those are in distil/evaluate/verdict.py.
"""

from __future__ import annotations

from typing import Literal

from distil.records import Record
from distil.runs.schemas.interval import Interval

Decision = Literal["SHIP", "SHIP WITH FALLBACK", "NOT DECIDED", "DO NOT SHIP"]
DECISIONS: tuple[Decision, ...] = ("DO NOT SHIP", "NOT DECIDED", "SHIP WITH FALLBACK", "SHIP")
"""From the worst to the best; NOT DECIDED does not permit to ship."""
MIN_PROMPTS = 30
"""Independent test prompts. Below this no interval is worth a decision."""


class MarginTest(Record):
    """A metric of the student beside the teacher's on the same prompts: is it surely less than a margin worse?"""

    metric: str
    """Its name in the table of metrics, or `judge`."""
    label: str
    """For people."""
    versus: str
    """teacher, or ceiling (the teacher's second answer) where the metric compares with the teacher."""
    student: Interval
    """The student's mean; of a guard the share of all counted prompts on which the student breaks it."""
    other: Interval
    """The same of what it is compared with."""
    shortfall: Interval
    """How much worse the student is, paired; positive = worse. Corrected for the number of students compared."""
    margin: float
    """How much worse it may be; SHIP needs the upper end of the shortfall below this."""

    @property
    def proven(self) -> bool:
        """The student is surely less than the margin worse."""
        return self.shortfall.high is not None and self.shortfall.high < self.margin

    @property
    def exceeded(self) -> bool:
        """The student is surely more than the margin worse."""
        return self.shortfall.low is not None and self.shortfall.low > self.margin


class Deciding(MarginTest):
    """The metric that decides."""

    coverage: float
    """Share of the counted test prompts that the metric applies to."""


class Guard(MarginTest):
    """A way to be wrong that the deciding metric may not see. The student may do it hardly more often than the teacher."""

    outcome: Literal["held", "broken", "open"]
    """held = surely within the margin; broken = surely beyond it; open = neither is shown."""
    needed_prompts: int | None = None
    """Where it is open: test prompts that would show it held with 80% power at the observed rates; None where no number would."""


class Looks(Record):
    """How often this set of test prompts was used: the best of several students looks better than it is."""

    students: int
    """Different students measured on these prompts so far. The same name with other weights or answers counts again, and so does
    a student that was also measured on other test prompts of which half are among these."""
    runs: int
    """Evaluations so far."""
    corrected_for: int
    """The number of students that this verdict's error rate is divided by; those of a plan of looks count as one."""
    share: float | None = None
    """Of that part of the error, what a plan of looks gave to this student (`distil until`); None = all of it."""

    @property
    def comparisons(self) -> float:
        """What the error rate is divided by, both together."""
        return self.corrected_for / (self.share or 1.0)

    @property
    def one_more(self) -> Looks:
        """As they are in the next look, such as at more test prompts."""
        return self.model_copy(update={"corrected_for": self.corrected_for + 1})

    @property
    def correction(self) -> str:
        """What the intervals are corrected for, in words; empty where for nothing."""
        return correction(self.comparisons, planned=self.share is not None)


def correction(comparisons: float, *, planned: bool) -> str:
    """What intervals are corrected for, in words; empty where for nothing. planned: as one of the looks of a plan."""
    if planned:
        return f"at {1 / comparisons:.1%} of the error, its share as one of several planned looks"
    return f"corrected for {comparisons:g} students" if comparisons > 1 else ""


class ShipDecision(Record):
    """The decision."""

    decision: Decision
    """What to do."""
    sentence: str
    """Why, in one sentence with numbers; it does not repeat the decision."""
    n: int
    """Test prompts that count for it."""
    reasons: list[str]
    """Every single finding that counted, one line each, the weightiest first."""
    next_steps: list[str]
    """Commands or settings that would settle what is open, or that come next."""
    needed_prompts: int | None
    """Test prompts that would prove the margin with 80% power at the observed loss; None where no number would, or where it
    is not known."""
