"""The other ways to be wrong: every guard of the verdict as a bar of how much more often the student does it than the teacher."""

from __future__ import annotations

import json
import math
from typing import NamedTuple

from markupsafe import Markup

from distil.report import charts, formatting
from distil.report.hero import points
from distil.runs.schemas.decision import Guard
from distil.runs.schemas.summary import Summary


class GuardRow(NamedTuple):
    """One guard, drawn."""

    label: str
    outcome: str
    student: str
    other: str
    picture: Markup
    filter: str
    needed: int | None


def guard_rows(summary: Summary) -> list[GuardRow]:
    """The guards on one axis of points more often than the teacher; the zone is what is allowed."""
    if not summary.guards:
        return []
    ends = [
        v for g in summary.guards for v in (g.shortfall.low, g.shortfall.high, g.margin, -g.margin) if v is not None
    ]
    low, high = min(ends), max(ends)
    axis = charts.Axis(low - 0.06 * (high - low), high + 0.06 * (high - low))
    return [_guard(guard, axis) for guard in summary.guards]


def _guard(guard: Guard, axis: charts.Axis) -> GuardRow:
    s = guard.shortfall
    low, high = (None if v is None or math.isnan(v) else v for v in (s.low, s.high))
    more, allowed = points(s.mean, "accuracy"), points(guard.margin, "accuracy")
    picture = charts.lane(
        charts.Lane(s.mean, low, high, guard.outcome),
        axis,
        zone=(axis.low, guard.margin),
        lines=[(guard.margin, "limit"), (0.0, "teacher-line")],
        label=f"{guard.label}: {more} more often than the teacher, {allowed} allowed",
    )
    return GuardRow(
        guard.label,
        guard.outcome,
        formatting.percent(guard.student.mean),
        formatting.percent(guard.other.mean),
        picture,
        json.dumps({"check": guard.metric}),
        guard.needed_prompts,
    )
