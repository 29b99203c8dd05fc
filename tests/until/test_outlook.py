"""The bar that a student has to pass, the curves through the rounds, and when they say that it is out of reach."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from distil.until import outlook
from distil.until.outlook import Goal, Point


@pytest.mark.parametrize(("n", "share"), [(100, 1.0), (200, 0.4), (500, 0.1), (60, 1.0)])
def test_the_bar_is_the_exact_binomial_one(n: int, share: float) -> None:
    passing = [k for k in range(n) if binom.cdf(k, n, 0.05) < 0.025 * share]  # Clopper and Pearson
    bar = outlook.bar(n, 0.05, 1 / share, 0.95)
    assert bar == (passing[-1] / n if passing else None)


def test_the_curve_goes_through_exact_rounds_of_a_power_law() -> None:
    points = [Point(n, 0.01 + 2.0 * n**-0.6) for n in (200, 400, 800, 1600)]
    found = outlook.curves(points, 100_000)
    assert found is not None
    middle = float(found.weights @ np.median(found.at(12_800), axis=1))
    assert middle == pytest.approx(0.01 + 2.0 * 12_800**-0.6, abs=0.004)
    enough = outlook.enough(found, 1600, 0.02)
    assert enough == pytest.approx((2.0 / 0.01) ** (1 / 0.6), rel=0.3)
    assert outlook.enough(found, 1600, -0.05) is None  # below what the curve ever reaches


def test_a_flat_bad_student_is_out_of_reach() -> None:
    goals = [Goal(3200, 0.02), Goal(6400, 0.025)]
    flat = [Point(200, 0.32), Point(400, 0.301), Point(800, 0.297), Point(1600, 0.295)]
    assert outlook.out_of_reach(flat, goals, 400)
    assert not outlook.out_of_reach(flat[:2], goals, 400)  # two rounds say too little
    falling = [Point(200, 0.32), Point(400, 0.2), Point(800, 0.12), Point(1600, 0.07)]
    assert not outlook.out_of_reach(falling, goals, 400)


def test_a_curve_that_speeds_up_is_never_out_of_reach() -> None:
    late = [Point(200, 0.60), Point(400, 0.595), Point(800, 0.57)]
    assert not outlook.out_of_reach(late, [Goal(1600, 0.02)], 400)


def test_more_data_that_did_harm_are_taken_as_no_gain() -> None:
    found = outlook.curves([Point(200, 0.1), Point(400, 0.2)], 200)
    assert found is not None and (found.at(6400) <= found.first + 1e-9).all()
    assert outlook.curves([Point(200, 0.1)], 200) is None
