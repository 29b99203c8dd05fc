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


class Deciding(Record):
    """The metric that decides, and the non-inferiority test of it."""

    metric: str
    """Its name in the table of metrics, or `judge`."""
    label: str
    """For people."""
    versus: str
    """teacher, or ceiling (the teacher's second answer) where the metric compares with the teacher."""
    student: Interval
    """The student's mean."""
    other: Interval
    """The mean of what it is compared with, on the same prompts."""
    shortfall: Interval
    """How much worse the student is, paired; positive = worse. Corrected for the number of students compared."""
    margin: float
    """How much worse it may be; SHIP needs the upper end of the shortfall below this."""
    coverage: float
    """Share of the counted test prompts that the metric applies to."""


class Guard(Record):
    """A way to be wrong that the deciding metric may not see. The student may do it hardly more often than the teacher."""

    metric: str
    """Its name in the table of metrics."""
    label: str
    """For people."""
    versus: str
    """teacher, or ceiling (the teacher's second answer)."""
    student: Interval
    """Share of all counted prompts on which the student does it."""
    other: Interval
    """The same of the teacher."""
    shortfall: Interval
    """Student minus teacher, corrected for the number of students compared."""
    margin: float
    """How much more often is allowed."""
    outcome: Literal["held", "broken", "open"]
    """held = surely within the margin; broken = surely beyond it; open = neither is shown."""
    needed_prompts: int | None = None
    """Where it is open: test prompts that would show it held with 80% power at the observed rates; None where no number would."""


class Looks(Record):
    """How often this set of test prompts was used: the best of several students looks better than it is."""

    students: int
    """Different students measured on these prompts so far (same name with other weights or answers counts again)."""
    runs: int
    """Evaluations so far."""
    corrected_for: int
    """The number of students that this verdict's error rate is divided by."""


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
