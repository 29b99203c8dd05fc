"""What a judge's preference owes to length: the win rate at equal length, and how often the longer answer wins.

The length-controlled win rate of AlpacaEval 2 (Dubois et al. 2024) for one pair of models: a logistic regression of who wins on
the difference in length, read off where the difference is 0. Their term for the difficulty of a prompt is left out: it needs many
models. Answers that are long because they are good are discounted too: read it beside the plain win rate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from distil.evaluate import stats
from distil.evaluate.stats import Estimate, Floats

MIN_PAIRS = 30
"""Pairs below which a slope says nothing."""
RIDGE = 0.1
"""Pull towards 0 on both coefficients: keeps them finite; at 100 pairs it moves a win rate by about a thousandth."""
STEPS = 50


def longer_wins(values: Floats, difference: Floats) -> float | None:
    """Share of the decided pairs of unequal length that the longer answer won (0.5 is unbiased); None where there are none.

    values: (n,) 1 = the student won, 0 = the other, 0.5 = a tie; difference: (n,) the student's length minus the other's.
    """
    y, d = np.asarray(values, dtype=np.float64), np.asarray(difference, dtype=np.float64)
    counted = (y != 0.5) & (d != 0)
    return float(((y > 0.5) == (d > 0))[counted].mean()) if counted.any() else None


def length_controlled(
    values: Floats, difference: Floats, groups: Sequence[object] | None = None, *, confidence: float = 0.95
) -> Estimate | None:
    """The student's win rate at equal length: sigmoid(a) of P(win) = sigmoid(a + b tanh(d / sd(d))); ties count one half.

    Arguments as of `longer_wins`. The interval is that of a (sandwich variance, clustered by group), through the sigmoid. None
    where equal length would be a guess: with fewer than 30 pairs, when all differences are on one side of 0, or when length alone
    decides who wins.
    """
    y, d = np.asarray(values, dtype=np.float64), np.asarray(difference, dtype=np.float64)
    if len(y) < MIN_PAIRS or not d.min() < 0 < d.max() or _separated(d[y > 0.5], d[y < 0.5]):
        return None
    x = np.stack([np.ones_like(d), np.tanh(d / d.std())], axis=1)  # (n, 2)
    coefficients, bend = _fit(x, y)
    index = stats.clusters(groups, len(y))
    count = int(index.max()) + 1
    if count < 2:
        return None
    scores = np.zeros((count, 2))
    np.add.at(scores, index, (y - _sigmoid(x @ coefficients))[:, None] * x)
    inverse = np.linalg.inv(bend)
    covariance = inverse @ (scores.T @ scores) @ inverse * count / (count - 1)
    at, se = float(coefficients[0]), math.sqrt(float(covariance[0, 0]))
    half = stats.t_quantile(confidence, count - 1) * se
    mean, low, high = (float(_sigmoid(np.array(logit))) for logit in (at, at - half, at + half))
    return Estimate(mean, low, high, mean * (1 - mean) * se, len(y))


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
