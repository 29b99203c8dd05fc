"""Error bars and tests for paired evaluation: small closed forms over numpy arrays, quantiles from scipy.

Not a statistics library: only what the evaluation, the comparison of students and the doctor say. Nothing here reads files.
Values are one float per prompt; `groups` (one label per prompt, or None) marks prompts that are not independent of each other.
Sources: Miller, "Adding Error Bars to Evals" (2024) for clustered and paired standard errors; Wilson (1927) for proportions;
McNemar (1947), exact form; Holm (1979). `confidence` is two-sided everywhere and defaults to 0.95.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from distil.runs.schemas.interval import Interval

Floats = Sequence[float] | npt.NDArray[np.float64]


class Estimate(NamedTuple):
    """A mean with its interval."""

    mean: float
    low: float
    high: float
    se: float
    """Standard error of the mean; for a bootstrap the standard deviation of the resampled statistic."""
    n: int
    """Prompts."""


def interval_of(estimate: Estimate) -> Interval:
    """The record of an estimate; NaN bounds become None."""
    low, high = (None if math.isnan(bound) else bound for bound in (estimate.low, estimate.high))
    return Interval(mean=estimate.mean, low=low, high=high, n=estimate.n)


class Paired(NamedTuple):
    """A mean difference between two models on the same prompts."""

    estimate: Estimate
    p: float
    """Two-sided p value of a t test that the mean difference is 0."""


class NonInferiority(NamedTuple):
    """Is the shortfall against the reference surely smaller than the margin?"""

    shortfall: Estimate
    """Mean of reference - candidate; positive = the candidate is worse."""
    margin: float
    passed: bool
    """The upper end of the shortfall's interval lies below the margin."""


def clusters(groups: Sequence[object] | None, n: int) -> npt.NDArray[np.int64]:
    """(n,) cluster index per prompt; without groups, or where a group is None, each prompt is its own cluster."""
    if groups is None:
        return np.arange(n)
    if len(groups) != n:
        raise ValueError(f"{len(groups)} groups for {n} values")
    seen: dict[object, int] = {}
    keys = (("alone", i) if group is None else ("group", group) for i, group in enumerate(groups))
    return np.array([seen.setdefault(key, len(seen)) for key in keys], dtype=np.int64)


def standard_error(values: Floats, groups: Sequence[object] | None = None) -> tuple[float, int]:
    """(standard error of the mean, degrees of freedom).

    Clusters: sqrt(C/(C-1) * sum_c (sum_{i in c} (x_i - mean))^2) / n with C - 1 degrees of freedom; with one prompt per cluster
    that is exactly sd / sqrt(n) with n - 1. One cluster alone has no standard error: (nan, 0).
    """
    x = np.asarray(values, dtype=np.float64)
    index = clusters(groups, len(x))
    count = int(index.max()) + 1 if len(x) else 0
    if count < 2:
        return float("nan"), 0
    sums = np.bincount(index, weights=x - x.mean(), minlength=count)
    return float(np.sqrt(count / (count - 1) * np.sum(sums**2)) / len(x)), count - 1


def t_quantile(confidence: float, df: int) -> float:
    """Two-sided quantile of Student's t: 1.96 for many degrees of freedom at 0.95."""
    from scipy.special import stdtrit

    return float(stdtrit(df, 0.5 + confidence / 2))


def mean_interval(values: Floats, groups: Sequence[object] | None = None, *, confidence: float = 0.95) -> Estimate:
    """Mean with a t interval, clustered by group. Raises ValueError without values; a single cluster gives low = high = nan."""
    x = np.asarray(values, dtype=np.float64)
    if not len(x):
        raise ValueError("no values")
    se, df = standard_error(x, groups)
    half = t_quantile(confidence, df) * se if df else float("nan")
    mean = float(x.mean())
    return Estimate(mean, mean - half, mean + half, se, len(x))


def wilson(successes: int, n: int, *, confidence: float = 0.95) -> Estimate:
    """Wilson score interval of a proportion (independent trials). Stays inside [0, 1], and is honest at 0 and at n."""
    from scipy.special import ndtri

    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"{successes} successes in {n} trials")
    z = float(ndtri(0.5 + confidence / 2))
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = max(0.0, float(centre - half)), min(1.0, float(centre + half))
    return Estimate(p, min(low, p), max(high, p), float(np.sqrt(p * (1 - p) / n)), n)


def summarize(values: Floats, groups: Sequence[object] | None = None, *, confidence: float = 0.95) -> Estimate:
    """The interval that fits: Wilson for independent 0/1 values, otherwise t, clustered where prompts share a group.

    Clusters that are all 0 or all 1 have no spread, which does not mean certainty: use Wilson over the number of clusters.
    """
    x = np.asarray(values, dtype=np.float64)
    count = len(np.unique(clusters(groups, len(x))))
    independent = count == len(x)
    if len(x) and not independent and (bool((x == 0).all()) or bool((x == 1).all())):
        return wilson(count if x[0] else 0, count, confidence=confidence)._replace(n=len(x))
    if len(x) and independent and bool(np.isin(x, (0.0, 1.0)).all()):
        return wilson(int(x.sum()), len(x), confidence=confidence)
    return mean_interval(x, groups, confidence=confidence)


def paired_difference(
    candidate: Floats, reference: Floats, groups: Sequence[object] | None = None, *, confidence: float = 0.95
) -> Paired:
    """Mean of candidate - reference over the same prompts, its t interval and its p value (1.0 when all differences are 0)."""
    from scipy.special import stdtr

    difference = np.asarray(candidate, dtype=np.float64) - np.asarray(reference, dtype=np.float64)
    estimate = mean_interval(difference, groups, confidence=confidence)
    se, df = standard_error(difference, groups)
    if not df:
        return Paired(estimate, float("nan"))
    if se == 0:
        return Paired(estimate, 1.0 if estimate.mean == 0 else 0.0)
    return Paired(estimate, float(2 * stdtr(df, -abs(estimate.mean / se))))


def non_inferiority(
    candidate: Floats,
    reference: Floats,
    margin: float,
    groups: Sequence[object] | None = None,
    *,
    confidence: float = 0.95,
    comparisons: int = 1,
) -> NonInferiority:
    """Passes when the upper bound of mean(reference - candidate) is below `margin`, which is chosen before looking.

    A difference that is not significant does not prove equality; this test can prove "at most `margin` worse".
    """
    corrected = 1 - (1 - confidence) / comparisons
    shortfall = paired_difference(reference, candidate, groups, confidence=corrected).estimate
    return NonInferiority(shortfall, margin, bool(shortfall.high < margin))


def retention(
    candidate: Floats,
    reference: Floats,
    groups: Sequence[object] | None = None,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate | None:
    """mean(candidate) / mean(reference) with a percentile bootstrap over clusters, both models on the same resampled prompts.

    None when the reference's mean is not positive (a ratio says nothing then).
    """
    a, b = np.asarray(candidate, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if not len(a) or b.mean() <= 0:
        return None
    index = clusters(groups, len(a))
    count = int(index.max()) + 1
    sums_a, sums_b = np.bincount(index, weights=a), np.bincount(index, weights=b)  # (C,)
    draws = np.random.default_rng(seed).integers(0, count, size=(resamples, count))
    totals_b = sums_b[draws].sum(axis=1)
    usable = totals_b > 0
    ratios = sums_a[draws].sum(axis=1)[usable] / totals_b[usable]
    ratio = float(a.mean() / b.mean())
    if count < 2 or len(ratios) < 2:
        return Estimate(ratio, float("nan"), float("nan"), float("nan"), len(a))
    low, high = np.quantile(ratios, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(ratio, float(low), float(high), float(ratios.std(ddof=1)), len(a))


def mcnemar(candidate: Floats, reference: Floats) -> tuple[int, int, float]:
    """(only the candidate is 1, only the reference is 1, exact two-sided p) for paired 0/1 outcomes."""
    from scipy.special import bdtr

    a, b = np.asarray(candidate) > 0.5, np.asarray(reference) > 0.5
    only_a, only_b = int(np.sum(a & ~b)), int(np.sum(~a & b))
    if only_a + only_b == 0:
        return 0, 0, 1.0
    return only_a, only_b, float(min(1.0, 2 * bdtr(min(only_a, only_b), only_a + only_b, 0.5)))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's adjusted p values: reject those below alpha, and the chance of any false rejection stays below alpha."""
    ordered = sorted(p_values, key=lambda name: p_values[name])
    adjusted: dict[str, float] = {}
    running = 0.0
    for position, name in enumerate(ordered):
        running = max(running, min(1.0, (len(ordered) - position) * p_values[name]))
        adjusted[name] = running
    return {name: adjusted[name] for name in p_values}


def needed_prompts(
    candidate: Floats,
    reference: Floats,
    margin: float,
    groups: Sequence[object] | None = None,
    *,
    confidence: float = 0.95,
    power: float = 0.8,
    comparisons: int = 1,
) -> int | None:
    """Prompts needed to show the margin at the observed loss and spread; None when the loss reaches the margin."""
    from scipy.special import ndtri

    if margin <= 0:
        raise ValueError(f"margin {margin} must be positive")
    difference = np.asarray(reference, dtype=np.float64) - np.asarray(candidate, dtype=np.float64)
    if difference.mean() >= margin:
        return None
    z = float(ndtri(0.5 + (1 - (1 - confidence) / comparisons) / 2) + ndtri(power))
    return max(72, int(np.ceil((z * float(difference.std(ddof=1)) / (margin - difference.mean())) ** 2)))
