"""How long a request takes with the student, the teacher, and both: from the measured ones."""

from __future__ import annotations

import math
from collections.abc import Sequence

from distil.cost.requests import PRODUCTION
from distil.records import Call
from distil.runs.schemas.cost import Latency
from distil.runs.schemas.summary import Speed, Summary

Z95 = 1.6448536269514722  # 95th percentile of the standard normal distribution


def cascade(
    summary: Summary | None, calls: Sequence[Call], teacher: str, student: str | None, coverage: float
) -> list[Latency]:
    """p50 and p95 of teacher, student and both, as far as they were measured.

    Both, tried first: the student's time for the share `coverage`, the sum of both times for the rest. Times are taken as
    log-normal with the measured percentiles; the sum is taken as independent.
    """
    taken = [c.latency_s for c in calls if c.model == teacher and c.purpose in PRODUCTION and c.latency_s]
    of_teacher = _sample_quantiles(taken) or _quantiles_of(summary, "teacher")
    of_student = _quantiles_of(summary, student or "")
    found = []
    for way, quantiles in (("teacher", of_teacher), (student or "student", of_student)):
        if quantiles is not None:
            found.append(Latency(way=way, p50_s=quantiles[0], p95_s=quantiles[1]))
    if of_teacher is None or of_student is None:
        return found
    own, other = _grid(*of_student), _grid(*of_teacher)
    share = 1 / len(own)
    times = [(time, coverage * share) for time in own]
    times += [(time + more, (1 - coverage) * share / len(other)) for time in own for more in other]
    return [*found, Latency(way="both, tried first", p50_s=_weighted(times, 0.5), p95_s=_weighted(times, 0.95))]


def _sample_quantiles(values: Sequence[float]) -> tuple[float, float] | None:
    if len(values) < 20:
        return None
    ordered = sorted(values)
    return ordered[len(ordered) // 2], ordered[int(0.95 * len(ordered))]


def _quantiles_of(summary: Summary | None, model: str) -> tuple[float, float] | None:
    speed: Speed | None = summary.speed.get(model) if summary is not None else None
    if speed is None or not speed.latency_p50_s or not speed.latency_p95_s:
        return None
    return speed.latency_p50_s, speed.latency_p95_s


def _grid(p50: float, p95: float, points: int = 99) -> list[float]:
    """Equally likely times of a log-normal distribution with these percentiles."""
    from statistics import NormalDist

    spread = math.log(max(p95 / p50, 1.0)) / Z95
    normal = NormalDist()
    return [p50 * math.exp(spread * normal.inv_cdf((k + 0.5) / points)) for k in range(points)]


def _weighted(values: Sequence[tuple[float, float]], share: float) -> float:
    reached = 0.0
    for value, weight in sorted(values):
        reached += weight
        if reached >= share:
            return value
    return max(value for value, _ in values)
