"""Which of the scored prompts a round asks: with known probabilities, none of them zero, spread over the topics. Pure functions.

M-RARU (Luccioli et al. 2025, arXiv:2511.11574) accepts a prompt with a probability that is its uncertainty. Here the same idea
has a fixed number of prompts and goes by the rank of the uncertainty: probability proportional to size, by systematic sampling
(Madow 1949, Ann. Math. Stat. 20:333) along the topics, so that each topic gets its share of the round. A part of the round is
drawn evenly, because a student can be sure and wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

EVEN_SHARE = 0.1
"""Share of a round that is drawn without looking at the uncertainty."""
_POWER = 4
_STEPS = 60  # of a bisection: more than a float has bits
_TINY = 1e-9
_DIGITS = 7  # a sum of probabilities that should be whole is whole

Floats = npt.NDArray[np.float64]


def probabilities(weights: Floats, count: int, even: float = EVEN_SHARE) -> Floats:
    """(n,) the probability with which each prompt is chosen; they sum to `count` <= n, and none is 0 or above 1.

    weights: (n,) >= 0, such as uncertainties. even: the share of the round to which they do not matter; 1 = drawn evenly.
    """
    size = len(weights)
    evenly = np.full(size, count / size)
    return np.asarray(even * evenly + (1 - even) * _proportional(weights, count))


def _proportional(weights: Floats, count: int) -> Floats:
    """min(1, c w), with the c at which they sum to `count`."""
    weights = np.maximum(weights, _TINY)
    low, high = 0.0, count / float(weights.min())
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if np.minimum(1.0, middle * weights).sum() < count:
            low = middle
        else:
            high = middle
    return np.asarray(np.minimum(1.0, high * weights))


def systematic(chances: Floats, order: Sequence[int], start: float) -> list[int]:
    """The chosen positions: each with its probability, round(sum) of them, evenly spaced along `order`.

    order: all positions, such as topic after topic; start: uniform in [0, 1), the only random number.
    """
    along = np.asarray(order, dtype=np.int64)
    ends = np.round(np.cumsum(chances[along]), _DIGITS)
    ends[-1] = round(float(ends[-1]))
    passed = np.floor(ends - start + 1.0)  # how many of the marks start, start + 1, ... lie before each end
    picked = np.diff(passed, prepend=np.floor(1.0 - start)) > 0
    return sorted(along[picked].tolist())


def by_rank(uncertainty: Floats) -> Floats:
    """(n,) weights in (0, 1]: the fourth power of the share of prompts that are at most as uncertain.

    By rank, because the scale of a confidence says nothing: students are sure of almost everything, or of nothing. The power was
    chosen with a linear student on banking77 (benchmarks/active_rule.py), where other rules are about as good.
    """
    order = np.sort(uncertainty)
    ranks = (np.searchsorted(order, uncertainty, "left") + np.searchsorted(order, uncertainty, "right") + 1) / 2
    return np.asarray((ranks / len(uncertainty)) ** _POWER)


def ranking(uncertainty: Floats, quality: Floats) -> float | None:
    """Share of the pairs of answers, one better than the other, in which the worse one is less sure; ties count half.

    For right and wrong answers it is the area under the ROC curve (Mann and Whitney 1947), for others Harrell's C (1982).
    uncertainty, quality: (n,). None where no two answers differ in quality.
    """
    worse = quality[:, None] < quality[None, :]  # (n, n)
    pairs = int(worse.sum())
    if pairs == 0:
        return None
    gaps = uncertainty[:, None] - uncertainty[None, :]
    return float(((gaps > 0) & worse).sum() + 0.5 * ((gaps == 0) & worse).sum()) / pairs


def trusted(similarity: Floats, consistent: Floats, neighbors: int = 5) -> Floats:
    """(n,) how consistent the teacher is expected to be with each prompt, from answered ones like it.

    similarity: (n, answered) >= 0; consistent: (answered,) share of the teacher's answers to a prompt that come to the same. A
    mean over the nearest, drawn to the mean of all of them where they are not near.
    """
    prior = float(consistent.mean())
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :neighbors]  # (n, neighbors)
    weights = np.maximum(np.take_along_axis(similarity, nearest, axis=1), 0.0)
    return np.asarray((prior + (weights * consistent[nearest]).sum(axis=1)) / (1 + weights.sum(axis=1)))
