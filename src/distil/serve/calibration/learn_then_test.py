"""Learn then Test by fixed-sequence testing with exact p-values (Angelopoulos, Bates, Candès, Jordan, Lei 2021,
arXiv 2110.01052).

The guarantee is about the *selective risk* R(t) = P(bad | score >= t): the share of bad answers among those that the student
gives itself. Thresholds t_1 > t_2 > ... are fixed without looking at calibration labels and tested from strict to loose; the
walk stops at the first that is not accepted, so no correction for many tests is needed and P(R(threshold) <= risk) >= 1 - delta.

Taking the loosest threshold whose own bound is below the risk, as is often done, breaks that guarantee: with a score that
carries no information and a true risk just above the limit it certifies falsely in about one run of five.

Prompts of one group count together: a student that fails on a document fails on all questions about it. Counted apart, groups of
five certify falsely in a third of the runs (benchmarks/promise.py). Pure functions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from distil.stats.bounded import chance_above, units_of

GRID_POINTS = 40
START_MARGIN = 2.0  # first test at twice the labels that zero failures need, so that one failure does not end the walk
OTHER_SHARE = 0.1  # of delta, for each walk but the strictest
OTHER_STARTS = (0.4, 1.0)
WIDER = 1.5  # times the strictest start, from which another one is worth its share
MAX_LABELS = 1_000_000


class Certified(NamedTuple):
    """The outcome of the walk."""

    threshold: float | None
    """The loosest accepted threshold; None = not even the strictest is."""
    served: int
    """Calibration answers with at least that score (of the strictest one when none is accepted)."""
    bad: int
    """Bad ones of these."""
    p_value: float
    """Of the last accepted threshold, or of the strictest one."""
    tested: int
    """Thresholds that were tested."""


@lru_cache(maxsize=100_000)
def binomial_cdf(k: int, n: int, p: float) -> float:
    """P(Bin(n, p) <= k), exact up to rounding: the sum of the terms, each from log-gamma."""
    if k >= n:
        return 1.0
    if k < 0:
        return 0.0
    log_p, log_q = math.log(p), math.log1p(-p)
    log_n = math.lgamma(n + 1)
    terms = (
        math.exp(log_n - math.lgamma(i + 1) - math.lgamma(n - i + 1) + i * log_p + (n - i) * log_q)
        for i in range(k + 1)
    )
    return min(1.0, math.fsum(terms))


def risk_p_value(bad: Sequence[bool], groups: Sequence[str | None], risk: float) -> float:
    """P value of "at least a share of `risk` is bad": the binomial one for prompts of their own, Gaffke's bound for groups."""
    if not bad:
        return 1.0
    index = group_index(groups)
    if len(index) == index.max() + 1:
        return binomial_cdf(sum(bad), len(bad), risk)
    return chance_above(units_of(np.asarray(bad, dtype=float), np.ones(len(bad)), index), risk, (1.0, 1.0))


def refuting_p_value(bad: Sequence[bool], groups: Sequence[str | None], risk: float) -> float:
    """P value of "at most a share of `risk` is bad": small where the answers show that it is more."""
    return risk_p_value([not is_bad for is_bad in bad], groups, 1.0 - risk)


def group_index(groups: Sequence[str | None]) -> npt.NDArray[np.int64]:
    """Group of each prompt as a number; without a name a prompt is a group of its own."""
    numbers: dict[str | int, int] = {}
    keys: list[str | int] = [position if name is None else name for position, name in enumerate(groups)]
    return np.asarray([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def usual_group(groups: Sequence[str | None]) -> float:
    """Size of the group that a random prompt belongs to, sum n_c^2 / n; 1 where there are no groups."""
    if not groups:
        return 1.0
    sizes = np.bincount(group_index(groups)).astype(float)
    return float(sizes @ sizes / sizes.sum())


def zero_failure_labels(risk: float, delta: float) -> int:
    """Fewest labels with which no failure at all proves the risk: (1 - risk)^n <= delta. With groups: fewest groups."""
    return math.ceil(math.log(delta) / math.log1p(-risk) - 1e-9)


def start_coverage(labels: int, risk: float, delta: float, group_size: float = 1.0) -> float:
    """Share of the answers that the strictest tested threshold lets through; depends on counts only, never on labels."""
    return min(1.0, START_MARGIN * zero_failure_labels(risk, delta) * group_size / max(1, labels))


def make_grid(scores: Sequence[float], start: float, points: int = GRID_POINTS) -> list[float]:
    """Thresholds from strict to loose: those that let a share of `start` ... 1 of `scores` through.

    `scores` must come from other prompts than the labeled ones (they need no labels themselves). The last one is 0: everything.
    """
    ordered = sorted(scores, reverse=True)
    grid = []
    for step in range(points):
        share = start + (1.0 - start) * step / max(1, points - 1)
        grid.append(ordered[min(len(ordered), max(1, round(share * len(ordered)))) - 1] if ordered else 0.0)
    return sorted({*grid[:-1], 0.0}, reverse=True)


def fixed_sequence(
    scores: Sequence[float],
    bad: Sequence[bool],
    grid: Sequence[float],
    *,
    risk: float,
    delta: float,
    groups: Sequence[str | None] | None = None,
) -> Certified:
    """Walks the grid (strict to loose) and stops at the first threshold whose p-value is above `delta`.

    `scores` and `bad` are those of labeled prompts, drawn like the requests to come; `groups` are theirs (None: each its own).
    """
    if any(a <= b for a, b in pairwise(grid)):
        raise ValueError("the grid must run from strict to loose")
    groups = [None] * len(bad) if groups is None else groups
    accepted = Certified(None, 0, 0, 1.0, 0)
    for tested, threshold in enumerate(grid, start=1):
        rows = [row for row, score in enumerate(scores) if score >= threshold]
        served = [bad[row] for row in rows]
        p_value = risk_p_value(served, [groups[row] for row in rows], risk)
        if p_value > delta:
            if accepted.threshold is not None:
                return accepted._replace(tested=tested)
            return Certified(None, len(served), sum(served), p_value, tested)
        accepted = Certified(threshold, len(served), sum(served), p_value, tested)
    return accepted


def start_points(labels: int, risk: float, delta: float, group_size: float = 1.0) -> list[tuple[float, float]]:
    """(coverage of the strictest threshold, delta) of the walks that are made; the deltas add up to `delta`.

    One walk starts as strict as the labels allow. Where there are many, two more start at 40% and at all answers with a tenth of
    delta each: a walk that starts with few answers fails at the first unlucky ones, however many labels come after them.
    """
    strict = start_coverage(labels, risk, delta, group_size)
    others = [coverage for coverage in OTHER_STARTS if coverage > WIDER * strict]
    first = delta * (1 - OTHER_SHARE * len(others))
    strict = start_coverage(labels, risk, first, group_size)
    return [(strict, first), *((coverage, OTHER_SHARE * delta) for coverage in others)]


def certify(
    scores: Sequence[float],
    bad: Sequence[bool],
    grid_scores: Sequence[float],
    *,
    risk: float,
    delta: float,
    groups: Sequence[str | None] | None = None,
) -> tuple[Certified, float]:
    """(the outcome of the walk that lets most answers through, the coverage at which the strictest walk starts).

    grid_scores: scores of other prompts, as for `make_grid`.
    """
    groups = [None] * len(bad) if groups is None else groups
    starts = start_points(len(scores), risk, delta, usual_group(groups))
    outcomes = [
        fixed_sequence(scores, bad, make_grid(grid_scores, start), risk=risk, delta=share, groups=groups)
        for start, share in starts
    ]
    accepted = [outcome for outcome in outcomes if outcome.threshold is not None]
    return max(accepted, key=lambda outcome: outcome.served) if accepted else outcomes[0], starts[0][0]


def labels_needed(served: int, bad: int, *, risk: float, delta: float, group_size: float = 1.0) -> int | None:
    """Answers above the strictest threshold with which the failure rate seen there would prove the risk; None: none would."""
    rate = bad / served if served else 0.0
    if rate >= risk:
        return None
    count = max(math.ceil(served / group_size), zero_failure_labels(risk, delta))
    while count <= MAX_LABELS:
        if binomial_cdf(math.floor(rate * count), count, risk) <= delta:
            return math.ceil(count * group_size)
        count = math.ceil(count * 1.05)
    return None
