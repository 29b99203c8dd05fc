"""A mean and its confidence interval, as every summary writes it."""

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
