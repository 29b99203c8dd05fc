"""What the statistics return, and how prompts are put into groups. No arithmetic of intervals.

Convention for "the data can't say": `low` and `high` are NaN (None in files, see interval_of) when there are fewer than two
independent groups, or when values without a known range show no spread at all. Nothing passes a test on NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from distil.runs.schemas.interval import Interval

Floats = Sequence[float] | npt.NDArray[np.float64]
Bounds = tuple[float, float]
"""Smallest and largest value that one prompt can get."""


class Estimate(NamedTuple):
    """A mean (or a ratio of means) with its interval."""

    mean: float
    low: float
    """Lower end; NaN where the data can't give one."""
    high: float
    """Upper end; NaN likewise; infinity for a ratio whose denominator may be 0."""
    se: float
    """Standard error of the mean, robust to groups (CR2); NaN for a single group. The interval isn't mean +- 1.96 se."""
    n: int
    """Prompts."""
    effective_n: float = math.nan
    """Independent groups of equal size that would weigh the same: n^2 / sum of squared group sizes (Kish); n without groups."""
    df: float = math.nan
    """Degrees of freedom of `se` (Bell and McCaffrey): how many groups of equal size would know it as well, minus 1."""


class Paired(NamedTuple):
    """A mean difference between two models on the same prompts."""

    estimate: Estimate
    p: float
    """Two-sided p value that the mean difference is 0; below 1 - confidence exactly when 0 lies outside of the interval."""


class NonInferiority(NamedTuple):
    """Is the shortfall against the reference surely smaller than the margin?"""

    shortfall: Estimate
    """Mean of reference - candidate; positive = the candidate is worse."""
    margin: float
    passed: bool
    """The upper end of the shortfall's interval lies below the margin."""


def interval_of(estimate: Estimate) -> Interval:
    """The record of an estimate; ends that are NaN or infinite become None."""
    low, high = (bound if math.isfinite(bound) else None for bound in (estimate.low, estimate.high))
    return Interval(mean=estimate.mean, low=low, high=high, n=estimate.n)


def clusters(groups: Sequence[object] | None, n: int) -> npt.NDArray[np.int64]:
    """(n,) cluster index per prompt; without groups, or where a group is None, each prompt is its own cluster."""
    if groups is None:
        return np.arange(n)
    if len(groups) != n:
        raise ValueError(f"{len(groups)} groups for {n} values")
    seen: dict[object, int] = {}
    keys = (("alone", i) if group is None else ("group", group) for i, group in enumerate(groups))
    return np.array([seen.setdefault(key, len(seen)) for key in keys], dtype=np.int64)


def bounds_of(*values: npt.NDArray[np.float64]) -> Bounds | None:
    """(0, 1) or (-1, 1) when every value lies inside (rounding of 1e-6 forgiven), otherwise None: no range is known."""
    low = min(float(x.min()) for x in values)
    high = max(float(x.max()) for x in values)
    if high > 1 + 1e-6 or low < -1 - 1e-6:
        return None
    return (0.0, 1.0) if low >= -1e-6 else (-1.0, 1.0)
