"""Confidence bounds for means of bounded values that hold for few prompts, rare errors and whole groups that fail together.

Gaffke's bound: give each independent unit a random weight from the exponential distribution, add one unit that nobody has
seen and that has the worst possible value, and take the quantile of the weighted mean. For 0/1 values it is exactly the
interval of Clopper and Pearson; with many prompts and some spread it becomes the t interval. For equal units no counterexample
to its coverage is known, nor a proof; benchmarks/verdict_error.py measures it where a verdict needs it. It depends on no order
and no random numbers: the distribution is a weighted sum of exponentials, whose tail is integrated numerically.

Units are groups of prompts. A group has its size as its weight, and the unseen unit has the size of the group that a random
prompt belongs to, sum n_c^2 / n: with fewer than 72 equal groups nothing proves that fewer than 5% of the groups fail, whatever
their size. The only assumption is that groups are independent of each other.

Sources: Gaffke (2005), "Three test statistics for a nonparametric one-sided hypothesis on the mean of a nonnegative variable",
Math. Methods of Statistics 14; Learned-Miller and Thomas (2019), arXiv 1905.06208; Daniels (1987), "Tail probability
approximations" (the path through the saddlepoint).
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complexfloating]
STEP = 0.2
"""Step of the trapezoid rule after y = width * sinh(v); the error falls as exp(-pi^2 / STEP)."""
BLOCK = 16
"""Nodes between two looks at whether the rest still matters."""


class Units(NamedTuple):
    """Independent units of a ratio sum(w * top) / sum(w * bottom); for a mean `bottom` is the number of prompts."""

    top: Array
    """(K,) distinct units: sum of the values of the unit's prompts."""
    bottom: Array
    """(K,) prompts of the unit, or the sum of the values to compare with."""
    counts: Array
    """(K,) how many units are alike."""
    unseen: float
    """Prompts in the unseen unit."""


def units_of(top: Array, bottom: Array, index: npt.NDArray[np.int64]) -> Units:
    """Prompts (n,) to units: sums by cluster, alike units counted once."""
    sizes = np.bincount(index).astype(np.float64)
    sums = np.round(np.bincount(index, weights=top), 12) + 1j * np.round(np.bincount(index, weights=bottom), 12)
    distinct, counts = np.unique(sums, return_counts=True)
    return Units(distinct.real, distinct.imag, counts.astype(np.float64), float(np.sum(sizes**2) / sizes.sum()))


def chance_above(units: Units, at: float, worst: tuple[float, float]) -> float:
    """P(ratio > at) when the units get random weights and an unseen unit with `worst` (top, bottom) per prompt is added.

    With the largest possible value as `worst` this is a one-sided p value of "the mean is at least `at`".
    """
    unseen = units.unseen * (worst[0] - at * worst[1])
    return positive_chance(
        np.concatenate((units.top - at * units.bottom, (unseen,))), np.concatenate((units.counts, (1.0,)))
    )


def upper(units: Units, tail: float, worst: tuple[float, float], limit: float) -> float:
    """The ratio that is exceeded with the chance `tail`; `limit` is its largest possible value (may be infinite)."""
    from scipy.optimize import brentq
    from scipy.special import ndtri

    def surplus(at: float) -> float:  # nearly a straight line in `at`, which the search likes
        return float(ndtri(max(chance_above(units, at, worst), 1e-300)) - ndtri(tail))

    prompts = float(units.counts @ units.bottom)
    mean = float(units.counts @ units.top) / prompts
    spread = float(units.counts @ (units.top - mean * units.bottom) ** 2) + units.unseen**2
    low, step = mean, float(-ndtri(tail)) * math.sqrt(spread) / prompts
    while (high := min(low + step, limit)) < limit and surplus(high) > 0:
        low, step = high, 2 * step
        if high > 1e9:
            return math.inf
    if surplus(high) >= 0:
        return high
    return float(brentq(surplus, low, high, xtol=1e-9)) if surplus(low) > 0 else low


def positive_chance(coefficients: Array, counts: Array) -> float:
    """P(sum_j a_j G_j > 0) for independent Gamma(counts_j, 1) variables G_j; counts may be fractions.

    The integral of exp(K(z)) / z / (2 pi i) along the path of steepest descent through its saddlepoint, where K(z) =
    -sum_j counts_j log(1 - a_j z). Error below 1e-7. 0 when no coefficient is
    positive, 1 when none is negative but some are positive.
    """
    scale = float(np.abs(coefficients).max(initial=0.0))
    keep = np.abs(coefficients) > 1e-11 * scale
    a, m = coefficients[keep] / (scale or 1.0), counts[keep]
    if not len(a) or a.max() < 0:
        return 0.0
    if a.min() > 0:
        return 1.0
    for sign in (1.0, -1.0):
        against = sign * a < 0
        alone = ~against
        if alone.sum() == 1 and m[alone][0] == 1:  # one exponential above all others: its memoryless tail, closed form
            chance = math.exp(-float(m[against] @ np.log1p(np.abs(a[against]) / abs(float(a[alone][0])))))
            return chance if sign > 0 else 1.0 - chance
    return 1.0 - _tail(-a, m) if a @ m > 0 else _tail(a, m)


def _tail(a: Array, m: Array) -> float:
    centre, curvature, bend = _saddlepoint(a, m)
    width = 1 / math.sqrt(curvature)
    value, fast = _integral(a, m, centre, width)
    if not fast:  # one or two units dominate: on the straight line the integrand swings for long, on a parabola it dies
        previous = math.inf
        for factor in (1.0, 0.7, 0.5, 0.3, 0.2, 0.1):
            bent, _ = _integral(a, m, centre, width, bend=factor * bend)
            if abs(bent - previous) < 1e-9:
                return min(1.0, max(0.0, bent))
            previous = bent
        value, _ = _integral(a, m, centre, width, step=STEP / 16)
    return min(1.0, max(0.0, value))


def _integral(
    a: Array, m: Array, centre: float, width: float, *, bend: float = 0.0, step: float = STEP
) -> tuple[float, bool]:
    """(trapezoid sum along z = centre + bend * y^2 + i y with y = width * sinh(v), did it die within 10 widths).

    NaN for a bent path that leads uphill.
    """
    total = 0.0
    for start in range(0, int(24 / step), BLOCK):
        sinh, cosh = _nodes(step, start)
        y, path = width * sinh, (1j * width) * cosh  # path: dz / dv
        z = centre + 1j * y
        if bend:
            z += bend * y**2
            path += 2 * bend * width * y * cosh
        logarithm = -_log_product(a, m, z)
        if bend and logarithm.real.max() > 600:  # a bent path that runs into the poles
            return math.nan, False
        terms = (np.exp(logarithm) / z * path).imag
        if start == 0:
            terms[0] /= 2
        total += float(terms.sum())
        if max(abs(float(terms[-2])), abs(float(terms[-1]))) < 1e-11 * abs(total):
            break
    return total * step / math.pi, start + BLOCK <= 2.9 / step + BLOCK


@cache
def _nodes(step: float, start: int) -> tuple[Array, Array]:
    """sinh and cosh of the nodes of one block, (BLOCK,) each."""
    v = step * np.arange(start, start + BLOCK)
    return np.sinh(v), np.cosh(v)


def _log_product(a: Array, m: Array, z: Complex) -> Complex:
    """sum_j m_j log(1 - a_j z) up to multiples of 2 pi i; many single units are multiplied by eights first."""
    single = m == 1
    alone = a[single]
    if len(alone) <= 8:
        logarithms: Complex = np.log(1 - a[:, None] * z)
        return m.astype(logarithms.dtype) @ logarithms
    alone = np.concatenate((alone, np.zeros(-len(alone) % 8)))
    factors = 1 - alone[:, None] * z
    for _ in range(3):
        factors = factors[::2] * factors[1::2]
    repeated: Complex = m[~single] @ np.log(1 - a[~single, None] * z)
    return repeated + np.log(factors).sum(axis=0)


def _saddlepoint(a: Array, m: Array) -> tuple[float, float, float]:
    """Minimum z of K(z) - log z on (0, 1 / max a), the second derivative there, and the curve x = bend * y^2 of steepest descent.

    Newton, kept inside by bisection; the bend is K''' over 6 times the second derivative (without the part of log z).
    """
    low, high = 0.0, 1 / float(a.max())
    z = high / 2
    for _ in range(200):
        ratio = a / (1 - a * z)
        slope = float(m @ ratio) - 1 / z
        low, high = (low, z) if slope > 0 else (z, high)
        step = slope / (float(m @ ratio**2) + 1 / z**2)
        following = z - step if low < z - step < high else (low + high) / 2
        if abs(following - z) <= 1e-9 * z:
            break
        z = following
    ratio = a / (1 - a * z)
    second = float(m @ ratio**2) + 1 / z**2
    return z, second, float(m @ ratio**3) / (3 * second)
