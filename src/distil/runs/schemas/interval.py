"""A measured mean with its confidence interval, and a difference of two: the smallest parts of what stages report.

Not the statistics behind them (distil/evaluate/stats).
"""

from __future__ import annotations

from distil.records import Record


class Interval(Record):
    """A mean and its confidence interval."""

    mean: float
    """The point estimate."""
    low: float | None
    """Lower end; None where the data can't give one (a single prompt or cluster)."""
    high: float | None
    """Upper end."""
    n: int
    """Prompts behind it."""


class Difference(Record):
    """Student minus another model on the same prompts."""

    metric: str
    """Which metric."""
    versus: str
    """teacher | ceiling | base, or another student's name."""
    difference: Interval
    """Mean of student - other."""
    p: float | None
    """Two-sided, of the test that belongs to the interval; None where the data can't give one."""
    p_holm: float | None
    """The same after Holm's correction over all metrics against this model."""
    only_student: int | None = None
    """0/1 metrics: prompts where only the student has 1."""
    only_other: int | None = None
    """0/1 metrics: prompts where only the other has 1."""
