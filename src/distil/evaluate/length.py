"""What a judge's preference owes to length: the win rate at equal length, and how often the longer answer wins.

The length-controlled win rate of AlpacaEval 2 (Dubois et al. 2024) for one pair of models: a logistic regression of who wins on
the difference in length, read off where the difference is 0. Their term for the difficulty of a prompt and their pull towards a
lengthened baseline are left out: both need annotations of other models. Without them the fit agrees with the published figures
only where enough answers are near equal length (docs/results_judge.md); elsewhere nothing is said.
Answers that are long because they are good are discounted too: read it beside the plain win rate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from distil.evaluate import stats
from distil.evaluate.stats import Estimate, Floats

MIN_PAIRS = 50
"""Pairs below which a slope says nothing."""
MIN_SIDE = 0.2
"""Share of the pairs that the rarer side needs (the student's answer longer, or shorter): on AlpacaEval's annotations the fit is
within 2 points of the published figures above it, and up to 20 off below."""
MIN_NEAR = 0.2
"""Share of the pairs that have to differ by less than half a standard deviation of the differences."""
RIDGE = 0.1
"""Pull towards 0 on both coefficients: keeps them finite; at 100 pairs it moves a win rate by about a thousandth."""
STEPS = 50


class LengthControl(NamedTuple):
    """The win rate at equal length, or why it can't be told."""

    estimate: Estimate | None
    why: str | None
    """None where there is an estimate."""


def longer_wins(values: Floats, difference: Floats) -> float | None:
    """Share of the decided pairs of unequal length that the longer answer won (0.5 is unbiased); None where there are none.

    values: (n,) 1 = the student won, 0 = the other, 0.5 = a tie; difference: (n,) the student's length minus the other's.
    """
    y, d = np.asarray(values, dtype=np.float64), np.asarray(difference, dtype=np.float64)
    counted = (y != 0.5) & (d != 0)
    return float(((y > 0.5) == (d > 0))[counted].mean()) if counted.any() else None


def length_controlled(
    values: Floats, difference: Floats, groups: Sequence[object] | None = None, *, confidence: float = 0.95
) -> LengthControl:
    """The student's win rate at equal length: sigmoid(a) of P(win) = sigmoid(a + b tanh(d / sd(d))); ties count one half.

    Arguments as of `longer_wins`; values between 0 and 1 (graded preferences) are fine. The interval is that of a (sandwich
    variance, clustered by group), through the sigmoid.
    """
    y, d = np.asarray(values, dtype=np.float64), np.asarray(difference, dtype=np.float64)
    why = unsupported(y, d)
    if why is not None:
        return LengthControl(None, why)
    x = np.stack([np.ones_like(d), np.tanh(d / d.std())], axis=1)  # (n, 2)
    coefficients, bend = _fit(x, y)
    index = stats.clusters(groups, len(y))
    count = int(index.max()) + 1
    if count < 2:
        return LengthControl(None, "can't be told: all pairs are of one group")
    scores = np.zeros((count, 2))
    np.add.at(scores, index, (y - _sigmoid(x @ coefficients))[:, None] * x)
    inverse = np.linalg.inv(bend)
    covariance = inverse @ (scores.T @ scores) @ inverse * count / (count - 1)
    at, se = float(coefficients[0]), math.sqrt(float(covariance[0, 0]))
    half = stats.t_quantile(confidence, count - 1) * se
    mean, low, high = (float(_sigmoid(np.array(logit))) for logit in (at, at - half, at + half))
    return LengthControl(Estimate(mean, low, high, mean * (1 - mean) * se, len(y)), None)


def unsupported(values: np.ndarray, difference: np.ndarray) -> str | None:
    """Why the data can't tell the win rate at equal length; None where they can."""
    y, d, n = values, difference, len(values)
    if n < MIN_PAIRS:
        return f"can't be told from {n} pairs: it needs {MIN_PAIRS}"
    long, short = int((d >= 0).sum()), int((d <= 0).sum())
    if long == n == short:
        return "all answers are as long as the teacher's: it is the plain win rate"
    if long < MIN_SIDE * n:
        return f"can't be told: only {long} of {n} pairs have the student's answer as long as the teacher's"
    if short < MIN_SIDE * n:
        return f"can't be told: only {short} of {n} pairs have the student's answer as short as the teacher's"
    near = int((np.abs(d) <= 0.5 * d.std()).sum())
    if near < MIN_NEAR * n:
        return f"can't be told: only {near} of {n} pairs have answers of about the same length"
    decided = y[y != 0.5]
    if np.isin(decided, (0.0, 1.0)).all() and _separated(d[y == 1], d[y == 0]):
        return "can't be told: length alone decides who wins"
    return None


def _separated(won: np.ndarray, lost: np.ndarray) -> bool:
    """Whether a threshold on the difference tells all wins from all losses; also where there are none of one kind."""
    return not len(won) or not len(lost) or bool(won.min() > lost.max() or won.max() < lost.min())


def _fit(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Newton's method on the penalized likelihood: (2,) coefficients and the (2, 2) negative Hessian there."""
    coefficients = np.zeros(2)
    for _ in range(STEPS):
        p = _sigmoid(x @ coefficients)
        bend = x.T @ (x * (p * (1 - p))[:, None]) + RIDGE * np.eye(2)
        step = np.linalg.solve(bend, x.T @ (y - p) - RIDGE * coefficients)
        coefficients = coefficients + step
        if np.abs(step).max() < 1e-9:
            break
    return coefficients, bend


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))
