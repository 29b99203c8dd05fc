"""What the rounds so far say about those to come: the chance that one of them is proven, by the power law of learning curves.

The shortfall against the teacher falls as c + a n^-b with n training rows (Hestness et al. 2017, arXiv:1712.00409). A few rounds
leave b nearly open. The claim "out of reach" is therefore made for the most hopeful of the exponents that explain them (b near
0: each doubling gains as much as the last), and only of a student that has left its base behind and gains less with each
doubling: a curve that has not begun to fall says nothing. How often the claim is wrong: benchmarks/until_error.py. Pure
functions; the test of a student is evaluate's.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from distil.evaluate.stats import non_inferiority

Array = NDArray[np.float64]
EXPONENTS = np.linspace(0.05, 1.5, 30)
"""As curate/learning_curve.py considers them."""
DRAWS = 200
"""For each exponent."""
PLAUSIBLE = 2.0
"""Exponents whose log-likelihood is at most so much below the best one's explain the rounds."""
LEAST_ROUNDS = 3
OUT_OF_REACH = 0.1
"""A chance below which the claim is made."""
FURTHEST = 64.0
"""Times today's training rows, up to which an amount is named that would be enough."""
STEP = 2**0.25


class Point(NamedTuple):
    """A round that was evaluated."""

    rows: float
    """Training rows."""
    shortfall: float
    """How much worse than the teacher it was found to be, on the scale of the deciding metric."""


class Goal(NamedTuple):
    """A look to come."""

    rows: float
    """Training rows that it will have."""
    bar: float
    """The largest observed shortfall that still proves the margin; see `bar`."""


class Curves(NamedTuple):
    """Draws from the curves that explain the rounds."""

    exponents: Array  # (exponents, 1)
    weights: Array  # (exponents,) of each exponent, adding up to 1
    first: Array  # (exponents, draws) shortfall at the first round's rows
    last: Array  # (exponents, draws) shortfall at the last round's rows
    rows: tuple[float, float]
    """Of the first and the last round."""

    def at(self, rows: float) -> Array:
        """(exponents, draws) the shortfall with so many training rows."""
        start, end = (self.rows[i] ** -self.exponents for i in (0, 1))
        return np.asarray(self.first + (self.last - self.first) * (start - rows**-self.exponents) / (start - end))


def bar(prompts: int, margin: float, comparisons: float, confidence: float) -> float | None:
    """The largest observed shortfall on so many independent prompts that proves the margin; None: none does.

    As of a student that is nowhere better than the teacher, which is the least that a shortfall can vary: real ones need a little
    less than this.
    """
    right = np.ones(prompts)

    def proves(wrong: int) -> bool:
        student = np.append(np.zeros(wrong), np.ones(prompts - wrong))
        return non_inferiority(student, right, margin, confidence=confidence, comparisons=comparisons).passed

    low, high = -1, int(prompts * margin) + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if proves(middle) else (low, middle)
    return low / prompts if low >= 0 else None


def curves(points: Sequence[Point], prompts: int, seed: int = 0) -> Curves | None:
    """Curves that explain the rounds; None with fewer than two of them. prompts: independent test prompts of each."""
    if len(points) < 2:
        return None
    rows, found = np.array([p.rows for p in points]), np.array([p.shortfall for p in points])
    error = student_error(points, prompts)
    rng = np.random.default_rng(seed)
    fits = [_fit(rows, found, exponent, error) for exponent in EXPONENTS]
    likelihood = np.array([fit.log_likelihood for fit in fits])
    weights = np.exp(likelihood - likelihood.max())
    ends = np.stack(
        [rng.multivariate_normal(fit.ends, fit.covariance, size=DRAWS) for fit in fits]
    )  # (exponents, draws, 2)
    falling = np.minimum(ends[..., 1], ends[..., 0])  # more data do no harm
    return Curves(EXPONENTS[:, None], weights / weights.sum(), ends[..., 0], falling, (float(rows[0]), float(rows[-1])))


def chance(found: Curves, goals: Sequence[Goal], error: float, seed: int = 0) -> float:
    """The chance that the student of at least one goal is proven, by the most hopeful exponent that explains the rounds.

    error: by how much a student varies around its curve.
    """
    rng = np.random.default_rng(seed + 1)
    reached = np.zeros(found.first.shape, dtype=bool)
    for goal in goals:
        reached |= found.at(goal.rows) + error * rng.standard_normal(found.first.shape) <= goal.bar
    plausible = found.weights >= found.weights.max() * np.exp(-PLAUSIBLE)
    return float(reached.mean(axis=1)[plausible].max())


def out_of_reach(points: Sequence[Point], goals: Sequence[Goal], prompts: int) -> bool:
    """Whether the rounds so far say that none of the looks to come will be proven, with 90% certainty.

    points: of the rounds whose student is better than its base.
    """
    if len(points) < LEAST_ROUNDS:
        return False
    gains = [then.shortfall - now.shortfall for then, now in itertools.pairwise(points[-3:])]
    if gains[1] > max(gains[0], 0.0):  # still speeding up
        return False
    found = curves(points, prompts)
    return found is not None and chance(found, goals, student_error(points, prompts)) < OUT_OF_REACH


def enough(found: Curves, least: float, limit: float) -> float | None:
    """Training rows with which the curve is as likely below `limit` as above; None: not within FURTHEST times those of today."""
    rows = max(least, found.rows[1])
    while rows <= FURTHEST * found.rows[1]:
        if float(found.weights @ (found.at(rows) <= limit).mean(axis=1)) >= 0.5:
            return rows
        rows *= STEP
    return None


def student_error(points: Sequence[Point], prompts: int) -> float:
    """By how much the measured shortfall of the last student varies, at most: as if each had test prompts of its own."""
    share = min(max(abs(points[-1].shortfall), 1 / prompts), 1 - 1 / prompts)
    return math.sqrt(share * (1 - share) / prompts)


class _Fit(NamedTuple):
    ends: Array  # (2,) shortfall at the first and the last round's rows
    covariance: Array  # (2, 2)
    log_likelihood: float


def _fit(rows: Array, found: Array, exponent: float, error: float) -> _Fit:
    """Least squares in the values at both ends."""
    powers = rows**-exponent
    share = (powers[0] - powers) / (powers[0] - powers[-1])
    design = np.stack([1 - share, share], axis=1)  # (rounds, 2)
    inverse = np.linalg.inv(design.T @ design)
    ends = inverse @ design.T @ found
    misfit = float(np.sum((found - design @ ends) ** 2))
    return _Fit(ends, error**2 * inverse, -misfit / (2 * error**2))
