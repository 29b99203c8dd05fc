"""Choosing by uncertainty: known probabilities, an even spread, and whether uncertainty finds errors at all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from distil.active.choose import by_rank, probabilities, ranking, systematic, trusted


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=40),
    st.integers(1, 40),
    st.floats(0.05, 1),
    st.floats(0, 1, exclude_max=True),
)
def test_a_round_has_its_size_and_leaves_nobody_out(
    weights: list[float], count: int, even: float, start: float
) -> None:
    count = min(count, len(weights))
    chances = probabilities(np.array(weights), count, even)
    assert chances.sum() == pytest.approx(count)
    assert (chances > 0).all() and (chances <= 1 + 1e-9).all()
    picked = systematic(chances, list(range(len(weights))), start)
    assert len(picked) == len(set(picked)) == count


def test_the_probabilities_are_those_of_the_draw() -> None:
    rng = np.random.default_rng(0)
    weights = rng.random(30) ** 3
    chances = probabilities(weights, 8, 0.25)
    counts = np.zeros(30)
    for _ in range(3_000):
        counts[systematic(chances, rng.permutation(30).tolist(), float(rng.random()))] += 1
    assert np.abs(counts / 3_000 - chances).max() < 0.035  # 3.8 standard errors
    assert counts[weights.argmax()] > 3 * counts[weights.argmin()]


def test_each_topic_gets_its_share_of_a_round() -> None:
    chances = probabilities(np.ones(100), 10)
    for start in (0.05, 0.35, 0.95):
        picked = systematic(chances, list(range(100)), start)
        assert [sum(at // 20 == topic for at in picked) for topic in range(5)] == [2] * 5


def test_only_the_order_of_uncertainties_counts() -> None:
    unsure = np.array([0.2, 0.9, 0.2, 0.4])
    assert by_rank(unsure) == pytest.approx(np.array([1.5, 4, 1.5, 3]) ** 4 / 4**4)  # equal ones share their ranks
    assert by_rank(unsure**9) == pytest.approx(by_rank(unsure)) and by_rank(np.zeros(3)).min() > 0


def test_ranking_is_the_area_under_the_roc_curve() -> None:
    rng = np.random.default_rng(1)
    right = rng.random(80) < 0.6
    unsure = np.round(rng.random(80) - 0.3 * right, 1)  # with ties
    expected = mannwhitneyu(unsure[~right], unsure[right]).statistic / (right.sum() * (~right).sum())
    assert ranking(unsure, right.astype(float)) == pytest.approx(expected)
    assert ranking(np.array([0.9, 0.5, 0.1]), np.array([0.2, 0.5, 0.9])) == 1.0  # values that are not right or wrong
    assert ranking(unsure, np.ones(80)) is None


def test_a_prompt_like_contradicted_ones_is_trusted_less() -> None:
    similarity = np.array([[0.9, 0.8, 0.0, 0.0], [0.0, 0.0, 0.9, 0.8], [0.0, 0.0, 0.0, 0.0]])
    found = trusted(similarity, np.array([0.5, 0.5, 1.0, 1.0]), neighbors=2)
    assert found[0] < found[2] < found[1] and found[2] == pytest.approx(0.75)
    assert found[0] == pytest.approx((0.75 + 1.7 * 0.5) / 2.7)
