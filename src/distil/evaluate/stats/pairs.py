"""Two models on the same prompts: difference, non-inferiority, retention, and the corrections for asking several questions.

Verdict, interval and p value are one calculation read in three ways, so they can't disagree. Sources: McNemar (1947), exact form;
Holm (1979); Fieller's inversion for ratios. `confidence` is two-sided: 0.95 means 2.5% on the side that matters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from distil.evaluate.stats.estimates import Bounds, Estimate, Floats, NonInferiority, Paired, bounds_of, clusters
from distil.evaluate.stats.means import Index, bounded_interval, described, mean_interval, t_quantile, within
from distil.stats.bounded import Array, chance_above, units_of, upper


def corrected(confidence: float, comparisons: float) -> float:
    """Bonferroni: the confidence of each of `comparisons` intervals so that all of them hold with `confidence`."""
    if comparisons < 1:
        raise ValueError(f"{comparisons} comparisons: at least 1 is needed")
    return 1 - (1 - confidence) / comparisons


def paired_difference(
    candidate: Floats,
    reference: Floats,
    groups: Sequence[object] | None = None,
    *,
    confidence: float = 0.95,
    comparisons: float = 1,
    bounds: Bounds | None = None,
) -> Paired:
    """Mean of candidate - reference over the same prompts, its interval and the p value of "no difference".

    The candidate is better when `estimate.low > 0` (wrong in at most (1 - confidence) / 2 / comparisons of cases). `bounds`: the
    smallest and largest value of one answer, by default inferred as in summarize. `p` isn't corrected for `comparisons`.
    Raises ValueError for unequal lengths or no values; NaN ends and NaN p for a single group.
    """
    a, b, index, inside = _checked(candidate, reference, groups, bounds)
    difference, each = a - b, corrected(confidence, comparisons)
    if inside is None:
        estimate = mean_interval(difference, groups, confidence=each)
        return Paired(estimate, _t_p_value(estimate))
    span = inside[1] - inside[0]
    estimate = bounded_interval(difference, index, (-span, span), each)
    if math.isnan(estimate.low):
        return Paired(estimate, math.nan)
    ones = np.ones(len(a))
    sides = (chance_above(units_of(x, ones, index), 0.0, (span, 1.0)) for x in (difference, -difference))
    return Paired(estimate, min(1.0, 2 * min(sides)))


def _t_p_value(estimate: Estimate) -> float:
    from scipy.special import stdtr

    if math.isnan(estimate.low):
        return math.nan
    return float(2 * stdtr(estimate.df, -abs(estimate.mean / estimate.se)))


def _checked(
    candidate: Floats, reference: Floats, groups: Sequence[object] | None, bounds: Bounds | None
) -> tuple[Array, Array, Index, Bounds | None]:
    a, b = np.asarray(candidate, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if a.shape != b.shape or not len(a):
        raise ValueError(
            f"{len(a)} values of the candidate and {len(b)} of the reference: expected the same, at least 1"
        )
    inside = bounds or bounds_of(a, b)
    if inside is not None:
        a, b = within(a, inside), within(b, inside)
    return a, b, clusters(groups, len(a)), inside


def non_inferiority(
    candidate: Floats,
    reference: Floats,
    margin: float,
    groups: Sequence[object] | None = None,
    *,
    confidence: float = 0.95,
    comparisons: float = 1,
    bounds: Bounds | None = None,
) -> NonInferiority:
    """Passes when the upper end of mean(reference - candidate) is below `margin`, which is chosen before looking.

    A difference that is not significant does not prove equality; this test can prove "less than `margin` worse". A candidate that
    is `margin` worse or more passes with at most the chance (1 - confidence) / 2; with `comparisons` = K that holds for "any of K
    candidates passes" (Bonferroni). The interval is the corrected one. Fewer than least_groups() units never pass without gains.
    """
    shortfall = paired_difference(
        reference, candidate, groups, confidence=confidence, comparisons=comparisons, bounds=bounds
    ).estimate
    return NonInferiority(shortfall, margin, bool(shortfall.high < margin))


def least_groups(margin: float, *, confidence: float = 0.95, comparisons: float = 1) -> int:
    """Independent prompts (or groups) below which even a faultless candidate proves nothing: log(tail) / log(1 - margin).

    72 for 5 points at 0.95: with fewer, one that fails 5% of the time is faultless with a chance above 2.5%.
    """
    if not 0 < margin < 1:
        raise ValueError(f"margin {margin} must lie between 0 and 1")
    tail = (1 - corrected(confidence, comparisons)) / 2
    return math.floor(math.log(tail) / math.log1p(-margin)) + 1


def retention(
    candidate: Floats,
    reference: Floats,
    groups: Sequence[object] | None = None,
    *,
    confidence: float = 0.95,
    bounds: Bounds | None = None,
) -> Estimate | None:
    """mean(candidate) / mean(reference), the interval by inverting the test of candidate - ratio * reference.

    None when the reference's mean is not positive (a ratio says nothing then). Bounded values: Gaffke's bounds, where the unseen
    prompt is one that only the candidate, or only the reference, gets right; inside [0, inf]. Other values: t of the difference.
    """
    a, b, index, inside = _checked(candidate, reference, groups, bounds)
    if b.mean() <= 0:
        return None
    ratio = float(a.mean() / b.mean())
    around = described(a - ratio * b, index)
    estimate = around._replace(mean=ratio, se=around.se / float(b.mean()))
    if index.max() < 1:
        return estimate
    if inside is None or inside[0] < 0:
        half = t_quantile(confidence, estimate.df) * estimate.se
        return estimate._replace(low=max(0.0, ratio - half), high=ratio + half)
    tail, best = (1 - confidence) / 2, inside[1]
    high = upper(units_of(a, b, index), tail, (best, 0.0), math.inf)
    inverse = upper(units_of(b, a, index), tail, (best, 0.0), math.inf) if a.mean() > 0 else math.inf
    return estimate._replace(low=min(ratio, 1 / inverse), high=max(ratio, high))


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
