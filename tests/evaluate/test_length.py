"""What a judge's preference owes to length: known coefficients come back, a judge of length alone is seen through."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

from distil.evaluate.length import RIDGE, length_controlled, longer_wins


def judged(
    wins: float, slope: float, *, n: int = 400, shift: float = 0.3, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """(values, differences in length) of a judge with these coefficients."""
    draw = np.random.default_rng(seed)
    difference = np.round(draw.normal(shift, 1.0, n) * 200)
    p = 1 / (1 + np.exp(-(wins + slope * np.tanh(difference / difference.std()))))
    return (draw.random(n) < p).astype(float), difference


def test_a_judge_of_length_alone_is_a_draw_at_equal_length() -> None:
    _, difference = judged(0, 0, shift=0.7)
    unsure = np.random.default_rng(1).random(400) < 0.2
    values = np.where(unsure, difference < 0, difference > 0).astype(float)
    found = length_controlled(values, difference).estimate
    assert values.mean() > 0.6 and longer_wins(values, difference) == pytest.approx(0.8, abs=0.05)
    assert found is not None and found.low < 0.5 < found.high


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    truth = 1 / (1 + np.exp(-0.5))
    found = [length_controlled(*judged(0.5, 1.5, n=200, seed=seed)).estimate for seed in range(300)]
    inside = [one.low <= truth <= one.high for one in found if one is not None]
    assert len(inside) == 300 and 0.92 <= np.mean(inside) <= 0.98
    assert np.mean([one.mean for one in found if one is not None]) == pytest.approx(truth, abs=0.01)


def test_a_judge_that_ignores_length_gives_the_plain_win_rate() -> None:
    values, difference = judged(1.0, 0.0, n=4000)
    found = length_controlled(values, difference).estimate
    assert found is not None and found.mean == pytest.approx(values.mean(), abs=0.02)
    assert longer_wins(values, difference) == pytest.approx(0.5, abs=0.1)


def test_the_sides_can_be_exchanged_and_ties_count_one_half() -> None:
    values, difference = judged(0.4, 1.0)
    values[::5] = 0.5
    one, other = (length_controlled(values, difference).estimate, length_controlled(1 - values, -difference).estimate)
    assert one is not None and other is not None
    assert (one.mean, one.low) == (pytest.approx(1 - other.mean), pytest.approx(1 - other.high))
    assert longer_wins(values, difference) == longer_wins(1 - values, -difference)


def test_the_fit_is_optimal_when_one_side_wins_nearly_all() -> None:
    for values, difference in (judged(0.4, 1.0), judged(4.0, 1.0, n=100)):
        x = np.tanh(difference / difference.std())

        def loss(c: np.ndarray, x: np.ndarray = x, y: np.ndarray = values) -> float:
            logits = c[0] + c[1] * x
            return float(np.sum(np.logaddexp(0, logits) - y * logits) + RIDGE / 2 * (c @ c))

        best = minimize(loss, np.zeros(2), tol=1e-12).x[0]
        found = length_controlled(values, difference).estimate
        assert found is not None and found.mean == pytest.approx(1 / (1 + np.exp(-best)), abs=1e-5)


def test_prompts_of_one_group_are_no_independent_evidence() -> None:
    values, difference = judged(0.4, 1.0, n=100)
    alone = length_controlled(values, difference).estimate
    groups = [str(i % 100) for i in range(400)]
    copied = length_controlled(np.tile(values, 4), np.tile(difference, 4), groups).estimate
    assert alone is not None and copied is not None
    assert copied.se == pytest.approx(alone.se, rel=0.02)


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (lambda y, d: (y[:49], d[:49]), "from 49 pairs: it needs 50"),
        (lambda y, d: (y, np.abs(d) + 1), "have the student's answer as short as the teacher's"),
        (
            lambda y, d: (y, np.where(np.arange(400) < 3, 5, -np.abs(d) - 1)),
            "only 3 of 400 pairs have the student's answer as long",
        ),
        (lambda y, d: (y, np.where(d > 0, 500.0, -500.0)), "only 0 of 400 pairs have answers of about the same length"),
        (lambda y, d: ((d > 20).astype(float), d), "length alone decides who wins"),
        (lambda y, d: (np.ones(400), d), "length alone decides who wins"),
        (lambda y, d: (y, np.zeros(400)), "it is the plain win rate"),
    ],
)
def test_nothing_is_said_where_equal_length_is_a_guess(chosen: Any, words: str) -> None:
    found = length_controlled(*chosen(*judged(0.4, 1.0)))
    assert found.estimate is None and words in (found.why or "")


def test_graded_preferences_are_taken_as_they_are() -> None:
    difference = np.round(np.random.default_rng(0).normal(0.3, 1.0, 400) * 200)
    p = 1 / (1 + np.exp(-(0.4 + np.tanh(difference / difference.std()))))
    found = length_controlled(p, difference).estimate
    assert found is not None and found.mean == pytest.approx(1 / (1 + np.exp(-0.4)), abs=0.002)


def test_where_nobody_decides_nobody_is_counted() -> None:
    assert longer_wins([0.5, 1.0], [3, 0]) is None
