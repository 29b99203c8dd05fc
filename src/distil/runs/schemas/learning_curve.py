"""The file of `distil curate --learning-curve`: how good students of parts of the data are, and what more rows would bring."""

from __future__ import annotations

from distil.records import Record


class CurvePoint(Record):
    """Students trained on parts of one size."""

    share: float
    """Of the training rows."""
    rows: float
    """Training rows of one of them, at the mean."""
    values: list[float]
    """The metric of each student, its mean over the validation prompts."""


class Forecast(Record):
    """What more training rows of the same kind would bring."""

    times: float
    """As many rows as there are now, times this."""
    gain: float
    """Expected gain of the metric over all rows of today; positive = better, whichever way the metric counts."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end."""


class LearningCurve(Record):
    """The content of curve.json."""

    metric: str
    """The metric that decides for this task, see summary.json."""
    prompts: int
    """Validation prompts behind each value. The test prompts are not looked at."""
    points: list[CurvePoint]
    """From few rows to all."""
    forecasts: list[Forecast]
    """For twice and four times the rows."""
    confidence: float
    """Of the intervals."""
    verdict: str
    """In one sentence: whether more data would help."""
    seconds: float
    """Spent on trainings and evaluations, earlier calls included."""
