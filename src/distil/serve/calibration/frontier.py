"""The frontier: what each share of answers by the student costs in quality, dollars and time. To choose a risk by.

It is made from the test prompts, whose labels are not those that a promise is made from: a risk may be chosen by it without
spending anything. Its shares are estimates, each with a 95% interval of its own; none is promised.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from distil.runs.artifacts import Project
from distil.runs.schemas.calibration import FrontierPoint
from distil.runs.schemas.cost import alone, read_cost
from distil.runs.seconds import measured_seconds
from distil.serve.calibration.learn_then_test import group_index
from distil.serve.calibration.scored import Scored
from distil.stats.bounded import units_of, upper
from distil.stats.waiting import cascade_quantiles

SHARES = tuple(n / 10 for n in range(1, 11))
MIN_PROMPTS = 20
TAIL = 0.025


class Money(NamedTuple):
    """A month, from work/cost/summary.json."""

    teacher: float
    """With the teacher alone, in dollars."""
    student: float
    """Of the student, in dollars."""


class Waiting(NamedTuple):
    """Seconds for single answers, as `distil evaluate` measured them."""

    student: list[float]
    teacher: list[float]


def frontier(
    held_out: Scored,
    bad: Sequence[bool],
    teacher_bad: Sequence[bool],
    money: Money | None = None,
    waiting: Waiting | None = None,
) -> list[FrontierPoint]:
    """A point for each tenth of the prompts that the student answers, from few to all; empty with fewer than 20 prompts.

    bad, teacher_bad: whether the student's and the teacher's answer to each is bad.
    """
    if len(bad) < MIN_PROMPTS:
        return []
    order = np.argsort(-np.asarray(held_out.scores), kind="stable")
    points = []
    for share in SHARES:
        threshold = held_out.scores[order[max(1, round(share * len(bad))) - 1]]
        rows = held_out.at_least(threshold)
        served = np.asarray([bad[row] for row in rows], dtype=float)
        taken = set(rows)
        good = len(rows) - served.sum() + sum(not b for row, b in enumerate(teacher_bad) if row not in taken)
        index = group_index([held_out.groups[row] for row in rows])
        ones = np.ones(len(rows))
        covered = len(rows) / len(bad)
        p50, p95 = (None, None) if waiting is None else cascade_quantiles(waiting.student, waiting.teacher, covered)
        points.append(
            FrontierPoint(
                share=covered,
                threshold=threshold,
                bad=float(served.mean()),
                low=1.0 - upper(units_of(ones - served, ones, index), TAIL, (1.0, 1.0), 1.0),
                high=upper(units_of(served, ones, index), TAIL, (1.0, 1.0), 1.0),
                quality=float(good / len(bad)),
                usd_per_month=None if money is None else money.student + (1.0 - covered) * money.teacher,
                p50_s=p50,
                p95_s=p95,
            )
        )
    later = [point.share for point in points[1:]] + [2.0]  # equal scores make equal points
    return [point for point, following in zip(points, later, strict=True) if following > point.share]


def read_money(project: Project, name: str) -> Money | None:
    """The bill of `distil cost`; None where it was not made, or a price is not known."""
    summary = read_cost(project.cost)
    if summary is None:
        return None
    month = next((option.student_usd for option in summary.options if option.name == alone(name)), None)
    teacher = summary.teacher_month_usd
    return None if month is None or teacher is None else Money(teacher, month)


def read_waiting(project: Project, name: str) -> Waiting | None:
    """Seconds for single answers; None where `distil evaluate` did not measure student and teacher."""
    measured = measured_seconds(project, name, (name, "ceiling"))
    found = Waiting(measured[name], measured["ceiling"])
    return found if found.student and found.teacher else None
