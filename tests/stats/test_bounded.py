"""The bound behind the verdict against closed forms, Monte Carlo, matrix algebra and published intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize
from scipy import stats as scipy_stats

from distil.evaluate import stats
from distil.evaluate.stats.means import standard_error
from distil.stats.bounded import positive_chance

values = st.sampled_from([0.0, 0.25, 1 / 3, 0.5, 2 / 3, 0.9, 1.0])


@pytest.mark.parametrize("n", [2, 5, 30, 200, 800, 5000])
@pytest.mark.parametrize("tail", [0.9, 0.4, 0.025, 0.0005])
def test_weights_of_0_1_units_are_beta(n: int, tail: float) -> None:
    for k in {0, 1, n // 20, n // 2, n - 1}:
        at = scipy_stats.beta.ppf(1 - tail, k + 1, n - k)
        chance = positive_chance(np.array([-at, 1 - at]), np.array([n - k, k + 1.0]))
        assert chance == pytest.approx(tail, abs=1e-6)


def test_few_different_weights_have_the_partial_fractions() -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        a = rng.normal(size=rng.integers(3, 7))
        a[:2] = abs(a[0]), -abs(a[1])
        exact = sum(x ** (len(a) - 1) / np.prod([x - y for y in a if y != x]) for x in a if x > 0)
        assert positive_chance(a, np.ones(len(a))) == pytest.approx(exact, abs=1e-7)


@pytest.mark.parametrize("power", [1, 3, 5])
def test_many_different_weights_agree_with_monte_carlo(power: int) -> None:
    rng = np.random.default_rng(power)
    for n in (20, 150):
        a = rng.normal(size=n) ** power
        a -= 1.5 * a.mean() + 0.05
        drawn = np.mean([(rng.exponential(size=(20_000, n)) @ a > 0).mean() for _ in range(5)])
        assert positive_chance(a, np.ones(n)) == pytest.approx(drawn, abs=0.007)


@given(st.lists(st.tuples(values, values, st.integers(0, 6)), min_size=2, max_size=30), st.sampled_from([0.8, 0.95]))
@settings(max_examples=60, deadline=None)
def test_interval_p_value_and_verdict_agree(rows: list[tuple[float, float, int]], confidence: float) -> None:
    student, teacher, groups = (list(column) for column in zip(*rows, strict=True))
    found = stats.paired_difference(student, teacher, groups, confidence=confidence)
    if len(set(groups)) < 2:
        assert math.isnan(found.p)
        assert math.isnan(found.estimate.low)
        return
    low, high = found.estimate.low, found.estimate.high
    assert -1 <= low <= found.estimate.mean <= high <= 1
    if abs(found.p - (1 - confidence)) > 1e-6:
        assert (found.p < 1 - confidence) == (not low <= 0 <= high)
    shortfall = stats.non_inferiority(student, teacher, 0.3, groups, confidence=confidence)
    assert shortfall.passed == (shortfall.shortfall.high < 0.3)
    assert (shortfall.shortfall.low, shortfall.shortfall.high) == pytest.approx((-high, -low), abs=1e-7)


@given(st.lists(st.tuples(values, values, st.integers(0, 9)), min_size=3, max_size=30), st.randoms())
@settings(max_examples=30, deadline=None)
def test_the_order_of_the_prompts_changes_nothing(rows: list[tuple[float, float, int]], random: object) -> None:
    again = list(rows)
    random.shuffle(again)  # type: ignore[attr-defined]
    results = [stats.paired_difference(*(list(c) for c in zip(*part, strict=True))) for part in (rows, again)]
    assert results[0].estimate[:4] == pytest.approx(results[1].estimate[:4], abs=1e-8, nan_ok=True)
    assert results[0].p == pytest.approx(results[1].p, abs=1e-8, nan_ok=True)


def test_agreement_throughout_leaves_the_unseen() -> None:
    shortfall = stats.non_inferiority([1.0] * 30, [1.0] * 30, 0.05).shortfall
    assert shortfall.high == pytest.approx(1 - 0.025 ** (1 / 30), abs=1e-7)
    assert shortfall.low == -shortfall.high
    assert not stats.non_inferiority([1.0] * 71, [1.0] * 71, 0.05).passed
    assert stats.non_inferiority([1.0] * 72, [1.0] * 72, 0.05).passed
    assert stats.least_groups(0.05) == 72


def test_agreement_in_few_groups_counts_groups() -> None:
    groups = [i // 10 for i in range(710)]
    assert not stats.non_inferiority([1.0] * 710, [1.0] * 710, 0.05, groups).passed
    groups = [i // 10 for i in range(720)]
    assert stats.non_inferiority([1.0] * 720, [1.0] * 720, 0.05, groups).passed


def tango(losses: int, gains: int, n: int, confidence: float) -> tuple[float, float]:
    """Score interval of a paired difference, Tango (1998), Statistics in Medicine 17: 891-908, by root finding."""
    z = scipy_stats.norm.ppf(0.5 + confidence / 2)

    def score(delta: float) -> float:
        b = -losses - gains + (2 * n - losses + gains) * delta
        q = (math.sqrt(b * b + 8 * n * gains * delta * (1 - delta)) - b) / (4 * n)
        return float((losses - gains - n * delta) / math.sqrt(n * (2 * q + delta * (1 - delta))))

    mean = (losses - gains) / n
    low = optimize.brentq(lambda d: score(d) - z, -0.999, mean)
    high = optimize.brentq(lambda d: score(d) + z, mean, 0.999)
    return float(low), float(high)


@pytest.mark.parametrize(("losses", "gains", "n"), [(150, 86, 1600), (12, 4, 200), (40, 38, 400)])
def test_paired_rates_are_near_tangos_score_interval(losses: int, gains: int, n: int) -> None:
    reference = [1.0] * losses + [0.0] * (n - losses)
    candidate = [0.0] * losses + [1.0] * gains + [0.0] * (n - losses - gains)
    mine = stats.paired_difference(reference, candidate).estimate
    low, high = tango(losses, gains, n, 0.95)
    assert mine.low <= low < high <= mine.high
    assert mine.high - mine.low < 1.2 * (high - low)


def test_the_approval_ratings_of_agrestis_textbook() -> None:
    """Agresti, Categorical Data Analysis, matched pairs: 150 and 86 of 1,600 changed; 95% interval 0.02 to 0.06."""
    estimate = stats.paired_difference([1.0] * 150 + [0.0] * 1450, [0.0] * 150 + [1.0] * 86 + [0.0] * 1364).estimate
    assert (round(estimate.mean, 3), round(estimate.low, 2), round(estimate.high, 2)) == (0.04, 0.02, 0.06)


def test_errors_and_degrees_of_freedom_are_bell_and_mccaffreys() -> None:
    """CR2 by its definition: residuals of a group times (I - H)^(-1/2), and the degrees of freedom from all n x n products."""
    sizes = [1, 1, 2, 5, 9, 14]
    index = np.repeat(np.arange(len(sizes)), sizes)
    n = len(index)
    x = np.random.default_rng(3).normal(size=n)
    annihilator = np.eye(n) - np.ones((n, n)) / n
    rows = []
    for group in range(len(sizes)):
        inside = np.flatnonzero(index == group)
        root, vectors = np.linalg.eigh(annihilator[np.ix_(inside, inside)])
        adjust = vectors @ np.diag(np.maximum(root, 1e-15) ** -0.5) @ vectors.T
        rows.append(np.ones(len(inside)) @ adjust @ annihilator[inside] / n)
    products = np.array([[r @ s for s in rows] for r in rows])
    se, df = standard_error(x, index.tolist())
    assert se**2 == pytest.approx(sum(float(r @ x) ** 2 for r in rows))
    assert df == pytest.approx(np.trace(products) ** 2 / np.sum(products**2))


def test_ratios_and_other_wide_values_get_a_t_interval() -> None:
    lengths = np.random.default_rng(4).lognormal(0, 0.4, 60)
    theirs = scipy_stats.ttest_1samp(lengths, 0).confidence_interval(0.95)
    mine = stats.summarize(lengths)
    assert (mine.low, mine.high) == pytest.approx((theirs.low, theirs.high))
    same = stats.summarize([2.0, 2.0, 2.0])
    assert math.isnan(same.low)


def test_stated_bounds_are_kept_and_checked() -> None:
    signed = stats.summarize([0.9, 0.8, -0.1] * 20)
    assert -1 <= signed.low < signed.high <= 1
    assert stats.summarize([0.9, 0.8, 0.7] * 20, bounds=(0.0, 4.0)).high > stats.summarize([0.9, 0.8, 0.7] * 20).high
    with pytest.raises(ValueError, match="not inside 0 to 1"):
        stats.summarize([0.5, 1.5], bounds=(0.0, 1.0))
    with pytest.raises(ValueError, match="2 values of the candidate and 3"):
        stats.paired_difference([1.0, 0.0], [1.0, 0.0, 1.0])
    with pytest.raises(ValueError, match="0 comparisons"):
        stats.non_inferiority([1.0, 0.0], [1.0, 0.0], 0.05, comparisons=0)
    with pytest.raises(ValueError, match="margin"):
        stats.needed_prompts([1.0, 0.0], [1.0, 0.0], 0.0)


def test_rounding_errors_of_similarities_are_forgiven() -> None:
    estimate = stats.summarize([1.0 + 1e-7, 0.9, -1e-8] * 10)
    assert 0 <= estimate.low < estimate.high <= 1
