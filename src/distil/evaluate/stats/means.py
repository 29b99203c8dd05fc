"""Means of one model with an interval: bounded values by bounded.py, others by Student's t with errors robust to groups.

Sources: Miller (2024), "Adding Error Bars to Evals", for groups; Bell and McCaffrey (2002), "Bias reduction in standard errors
for linear regression with multi-stage samples", for CR2 and its degrees of freedom; Wilson (1927). `confidence` is two-sided.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from distil.evaluate.stats.estimates import Bounds, Estimate, Floats, bounds_of, clusters
from distil.stats.bounded import Array, units_of, upper
from distil.stats.shares import wilson_bounds

Index = npt.NDArray[np.int64]


def standard_error(values: Floats, groups: Sequence[object] | None = None) -> tuple[float, float]:
    """(standard error of the mean, degrees of freedom), CR2 by group.

    sqrt(sum_c (sum_{i in c} (x_i - mean))^2 / (1 - n_c / n)) / n: with groups of equal size it is the standard error of their
    means with C - 1 degrees of freedom; unequal sizes have fewer. One group alone has no standard error: (nan, 0).
    """
    x = np.asarray(values, dtype=np.float64)
    return _standard_error(x, clusters(groups, len(x)))


def _standard_error(x: Array, index: Index) -> tuple[float, float]:
    sizes = np.bincount(index).astype(np.float64)
    if len(sizes) < 2:
        return math.nan, 0.0
    share = sizes / len(x)
    sums = np.bincount(index, weights=x - x.mean())
    variance = float(np.sum(sums**2 / (1 - share)))
    # tr(M)^2 / tr(M^2) with M_cc = n_c and M_cd = -n_c n_d / n / sqrt((1 - share_c) (1 - share_d)), all divided by n
    crossed = float(np.sum(share**2 / (1 - share)) ** 2 - np.sum(share**4 / (1 - share) ** 2))
    return math.sqrt(variance) / len(x), 1 / (float(np.sum(share**2)) + crossed)


def t_quantile(confidence: float, df: float) -> float:
    """Two-sided quantile of Student's t: 1.96 for many degrees of freedom at 0.95."""
    from scipy.special import stdtrit

    return float(stdtrit(df, 0.5 + confidence / 2))


def mean_interval(values: Floats, groups: Sequence[object] | None = None, *, confidence: float = 0.95) -> Estimate:
    """Mean with a t interval by group, for values without a known range. Raises ValueError without values.

    NaN ends for a single group, and where all groups have the same mean: without a range that proves nothing.
    """
    x = np.asarray(values, dtype=np.float64)
    if not len(x):
        raise ValueError("no values")
    index = clusters(groups, len(x))
    estimate = described(x, index)
    if not estimate.se > 1e-12 * max(1.0, abs(estimate.mean)):  # also NaN
        return estimate
    half = t_quantile(confidence, estimate.df) * estimate.se
    return estimate._replace(low=estimate.mean - half, high=estimate.mean + half)


def described(x: Array, index: Index) -> Estimate:
    """Mean, standard error, effective n and degrees of freedom of (n,) values; the interval is still NaN."""
    se, df = _standard_error(x, index)
    sizes = np.bincount(index).astype(np.float64)
    return Estimate(float(x.mean()), math.nan, math.nan, se, len(x), float(len(x) ** 2 / np.sum(sizes**2)), df)


def bounded_interval(x: Array, index: Index, bounds: Bounds, confidence: float) -> Estimate:
    """Mean of (n,) values inside `bounds` with Gaffke's bounds on both sides; NaN ends for a single group."""
    estimate = described(x, index)
    if index.max() < 1:
        return estimate
    ones = np.ones(len(x))
    tail = (1 - confidence) / 2
    high = upper(units_of(x, ones, index), tail, (bounds[1], 1.0), bounds[1])
    low = 0.0 - upper(units_of(-x, ones, index), tail, (-bounds[0], 1.0), -bounds[0])
    return estimate._replace(low=min(low, estimate.mean), high=max(high, estimate.mean))


def summarize(
    values: Floats,
    groups: Sequence[object] | None = None,
    *,
    confidence: float = 0.95,
    bounds: Bounds | None = None,
) -> Estimate:
    """The interval that fits: Gaffke's for values with a range (Clopper and Pearson's for independent 0/1), otherwise t.

    `bounds` is the smallest and largest value that a prompt can get; by default (0, 1) or (-1, 1) if all values lie inside.
    Never outside of the bounds; 0 or 1 throughout still gives a bound. Raises ValueError without values or for a value outside.
    """
    x = np.asarray(values, dtype=np.float64)
    if not len(x):
        raise ValueError("no values")
    inside = bounds or bounds_of(x)
    if inside is None:
        return mean_interval(x, groups, confidence=confidence)
    return bounded_interval(within(x, inside), clusters(groups, len(x)), inside, confidence)


def within(x: Array, bounds: Bounds) -> Array:
    """`x` with rounding errors outside of the bounds cut off. Raises ValueError for values that are really outside."""
    if x.min() < bounds[0] - 1e-6 or x.max() > bounds[1] + 1e-6:
        raise ValueError(f"values from {x.min():g} to {x.max():g} are not inside {bounds[0]:g} to {bounds[1]:g}")
    return np.clip(x, *bounds)


def wilson(successes: int, n: int, *, confidence: float = 0.95) -> Estimate:
    """Wilson score interval of a proportion (independent trials). Stays inside [0, 1], and is honest at 0 and at n."""
    low, high = wilson_bounds(successes, n, confidence)
    p = successes / n
    return Estimate(p, low, high, math.sqrt(p * (1 - p) / n), n, float(n), float(n - 1))
