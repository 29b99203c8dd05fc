"""Answers that are labels: precision and recall of each label, and which are taken for which; a part of summary.json."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from distil.records import Record


class LabelRow(Record):
    """One label of the targets."""

    label: str
    """As it is written most often in the targets."""
    precision: float
    """Share of the answers with this label that are right; 0 where nobody gave it."""
    recall: float
    """Share of the prompts with this label that got it."""
    f1: float
    """Harmonic mean of precision and recall; 0 where both are."""
    support: int
    """Prompts whose target is this label."""
    given: int
    """Answers with this label."""


class Confusion(Record):
    """A wrong answer that was given more or less often."""

    target: str
    """What would have been right."""
    answer: str
    """What was answered: a label, `(other text)`, `(missing)` or `(no JSON)`."""
    count: int
    """How often."""


class LabelReport(Record):
    """How one model does on answers, or a field of JSON answers, with few different values."""

    model: str
    """teacher, ceiling, base, or the student's name."""
    field: str | None = None
    """The field's path; None = the whole answer is the label."""
    against: Literal["reference", "teacher"]
    """What is right."""
    n: int
    """Prompts."""
    accuracy: float
    """Share that is right."""
    macro_f1: float
    """Mean F1 of the targets' labels, each counted once however frequent."""
    labels: list[LabelRow]
    """Most frequent first."""
    confusions: list[Confusion]
    """Most frequent first, at most 50."""
    invented: dict[str, int] = Field(default_factory=dict)
    """Labels that no target has -> how often they were given; at most 20, most frequent first."""
