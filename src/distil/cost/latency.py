"""How long a request takes with the student, the teacher, and both: from the measured ones."""

from __future__ import annotations

from collections.abc import Sequence

from distil.cost.requests import PRODUCTION
from distil.records import Call
from distil.runs.artifacts import Project
from distil.runs.schemas.cost import Latency
from distil.runs.seconds import measured_seconds
from distil.stats.waiting import cascade_quantiles

ENOUGH = 20
"""Answered calls from which the ledger says how long the teacher takes."""


def latencies(
    project: Project, calls: Sequence[Call], teacher: str, student: str | None, coverage: float
) -> list[Latency]:
    """p50 and p95 of teacher, student and both, as far as they were measured.

    The teacher's times are those of production-like calls in the ledger, or, with few of them, of its evaluation.
    """
    measured = measured_seconds(project, student, (student, "ceiling")) if student is not None else {}
    of_student = measured.get(student or "", [])
    of_teacher = [c.latency_s for c in calls if c.model == teacher and c.purpose in PRODUCTION and c.latency_s]
    if len(of_teacher) < ENOUGH:
        of_teacher = measured.get("ceiling", [])
    found = []
    for way, seconds in (("teacher", of_teacher), (student or "student", of_student)):
        if seconds:
            found.append(_latency(way, cascade_quantiles(seconds, seconds, 1.0)))
    if of_student and of_teacher:
        both = cascade_quantiles(of_student, of_teacher[-1000:], coverage)
        found.append(_latency("both, tried first", both))
    return found


def _latency(way: str, quantiles: tuple[float, float]) -> Latency:
    return Latency(way=way, p50_s=quantiles[0], p95_s=quantiles[1])
