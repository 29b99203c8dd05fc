"""The error bars against scipy and closed forms, and properties that must hold for any data."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from distil.evaluate import stats

floats = st.floats(-10, 10, allow_nan=False)


def test_without_groups_the_interval_is_students_t() -> None:
    values = np.random.default_rng(0).normal(0.7, 0.2, size=57)
    mine = stats.mean_interval(values)
    theirs = scipy_stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (mine.low, mine.high) == pytest.approx((theirs.low, theirs.high))
    assert mine.se == pytest.approx(scipy_stats.sem(values))
    assert mine.df == pytest.approx(56)


def test_equal_clusters_give_the_error_of_their_means() -> None:
    values = np.random.default_rng(1).normal(size=(12, 5))
    mine = stats.mean_interval(values.ravel(), [f"g{i // 5}" for i in range(60)])
    theirs = scipy_stats.ttest_1samp(values.mean(axis=1), 0).confidence_interval(0.95)
    assert (mine.low, mine.high) == pytest.approx((theirs.low, theirs.high))


def test_prompts_that_share_a_group_widen_the_interval() -> None:
    repeated = np.repeat(np.random.default_rng(2).normal(size=20), 10)
    groups = [str(i // 10) for i in range(200)]
    assert stats.mean_interval(repeated, groups).se > 3 * stats.mean_interval(repeated).se


def test_a_prompt_without_a_group_is_its_own_cluster() -> None:
    values = [0.1, 0.9, 0.4]
    assert stats.mean_interval(values, [None, None, None]) == stats.mean_interval(values)


def test_clusters_that_all_fail_are_not_certainty() -> None:
    estimate = stats.summarize([0.0] * 20, [i // 2 for i in range(20)])
    theirs = scipy_stats.binomtest(0, 10).proportion_ci(method="exact")
    assert (estimate.mean, estimate.low, estimate.n, estimate.effective_n) == (0.0, 0.0, 20, 10)
    assert estimate.high == pytest.approx(theirs.high, abs=1e-7)


@pytest.mark.parametrize(("successes", "n"), [(0, 20), (20, 20), (7, 20), (190, 200), (1, 2), (4, 800), (500, 1000)])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.995])
def test_independent_0_1_values_get_clopper_and_pearsons(successes: int, n: int, confidence: float) -> None:
    mine = stats.summarize([1.0] * successes + [0.0] * (n - successes), confidence=confidence)
    theirs = scipy_stats.binomtest(successes, n).proportion_ci(confidence, method="exact")
    assert (mine.low, mine.high) == pytest.approx((theirs.low, theirs.high), abs=1e-7)


@pytest.mark.parametrize(("successes", "n"), [(0, 20), (20, 20), (7, 20), (190, 200)])
def test_wilson_equals_scipys(successes: int, n: int) -> None:
    mine = stats.wilson(successes, n)
    theirs = scipy_stats.binomtest(successes, n).proportion_ci(method="wilson")
    assert (mine.low, mine.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_the_paired_difference_equals_scipys_related_t_test() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=40), rng.normal(size=40)
    mine, theirs = stats.paired_difference(a, b), scipy_stats.ttest_rel(a, b)
    assert mine.p == pytest.approx(theirs.pvalue)
    low, high = theirs.confidence_interval(0.95)
    assert (mine.estimate.low, mine.estimate.high) == pytest.approx((low, high))


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (3, 9), (9, 3), (5, 5), (0, 6)])
def test_mcnemar_is_the_binomial_test_of_discordant_pairs(only_a: int, only_b: int) -> None:
    a = [1.0] * only_a + [0.0] * only_b + [1.0] * 4
    b = [0.0] * only_a + [1.0] * only_b + [1.0] * 4
    expected = 1.0 if only_a + only_b == 0 else scipy_stats.binomtest(only_a, only_a + only_b).pvalue
    assert stats.mcnemar(a, b) == (only_a, only_b, pytest.approx(expected))


def test_holm_gives_the_textbook_values() -> None:
    assert stats.holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})


def test_no_significant_difference_is_not_yet_non_inferiority() -> None:
    rng = np.random.default_rng(4)
    few_a, few_b = rng.normal(0.8, 0.4, 12), rng.normal(0.8, 0.4, 12)
    assert stats.paired_difference(few_a, few_b).p > 0.05
    assert not stats.non_inferiority(few_a, few_b, margin=0.05).passed
    teacher = rng.normal(0.8, 0.1, 800)
    assert stats.non_inferiority(teacher - 0.01 + rng.normal(0, 0.05, 800), teacher, margin=0.05).passed


def test_intervals_have_their_nominal_coverage() -> None:
    rng = np.random.default_rng(6)
    covered = naive = 0
    for _ in range(400):
        shared = rng.normal(0, 1, size=(40, 1))
        values = (shared + rng.normal(0, 0.5, size=(40, 6))).ravel()
        groups = [i // 6 for i in range(240)]
        estimate, plain = stats.mean_interval(values, groups), stats.mean_interval(values)
        covered += estimate.low <= 0 <= estimate.high
        naive += plain.low <= 0 <= plain.high
    assert 0.91 < covered / 400 < 0.99
    assert naive / 400 < 0.75


def test_retention_of_a_constant_share_is_near_it() -> None:
    teacher = np.random.default_rng(7).uniform(0.5, 1, 100)
    kept = stats.retention(0.9 * teacher, teacher)
    assert kept is not None
    assert kept.mean == pytest.approx(0.9)
    assert 0.8 < kept.low < 0.9 < kept.high < 1
    assert stats.retention([0.0, 0.0], [0.0, 0.0]) is None


def test_a_ratio_to_almost_nothing_has_no_upper_end() -> None:
    kept = stats.retention([1.0] * 3, [0.0, 0.0, 1.0])
    assert kept is not None
    assert kept.high > 100
    assert kept.low > 0


def test_the_needed_prompts_answer_for_the_observed_loss() -> None:
    teacher, perfect = np.ones(100), np.ones(100)
    one_wrong, three_wrong, eight_wrong = (np.append(np.zeros(k), np.ones(100 - k)) for k in (1, 3, 8))
    needs = [stats.needed_prompts(student, teacher, 0.05) for student in (perfect, one_wrong, three_wrong)]
    assert 72 <= needs[0] < needs[1] < needs[2]  # type: ignore[operator]
    assert stats.needed_prompts(eight_wrong, teacher, 0.05) is None
    in_groups = stats.needed_prompts(perfect, teacher, 0.05, [i // 5 for i in range(100)])
    assert in_groups is not None
    assert in_groups >= 5 * 72


def test_too_little_data_gives_nan_bounds_or_an_error() -> None:
    alone = stats.mean_interval([0.5])
    assert alone.mean == 0.5
    assert math.isnan(alone.low)
    with pytest.raises(ValueError, match="no values"):
        stats.mean_interval([])


@given(st.lists(floats, min_size=2, max_size=40), st.lists(st.integers(0, 4), min_size=40, max_size=40))
@settings(max_examples=60, deadline=None)
def test_intervals_hold_the_mean_and_swapping_turns_the_sign(values: list[float], groups: list[int]) -> None:
    labels = groups[: len(values)]
    estimate = stats.mean_interval(values, labels)
    assert math.isnan(estimate.low) or estimate.low <= estimate.mean <= estimate.high
    other = values[::-1]
    forward, back = stats.paired_difference(values, other, labels), stats.paired_difference(other, values, labels)
    assert forward.estimate.mean == pytest.approx(-back.estimate.mean, abs=1e-9)
    assert math.isnan(forward.p) or forward.p == pytest.approx(back.p)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
@settings(max_examples=60, deadline=None)
def test_wilson_stays_inside_zero_and_one_and_holds_the_share(case: tuple[int, int]) -> None:
    estimate = stats.wilson(*case)
    assert 0 <= estimate.low <= estimate.mean <= estimate.high <= 1


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_holm_never_lowers_a_p_value_and_keeps_their_order(p_values: dict[str, float]) -> None:
    adjusted = stats.holm(p_values)
    assert all(p_values[k] <= adjusted[k] <= 1 for k in p_values)
    ordered = sorted(p_values, key=lambda k: p_values[k])
    assert all(adjusted[a] <= adjusted[b] for a, b in itertools.pairwise(ordered))
