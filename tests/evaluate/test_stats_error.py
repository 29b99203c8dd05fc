"""How often the verdict's statistics are wrong: exact where that can be computed, otherwise small seeded simulations.

The large tables are docs/results_verdict.md. Every setting here is one in which a t interval by group passes far too often.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats as scipy_stats

from distil.evaluate import stats

Array = npt.NDArray[np.float64]
MARGIN = 0.05
TAIL = 0.025


def once_each(decide: Callable[[Array, Array], bool], sizes: list[int]) -> Callable[[Array, Array], bool]:
    """`decide` remembered by the totals of the groups: their order says nothing (tested in tests/stats/test_bounded.py)."""
    index = np.repeat(np.arange(len(sizes)), sizes)
    known: dict[bytes, bool] = {}

    def remembered(student: Array, teacher: Array) -> bool:
        totals = np.round(np.bincount(index, weights=teacher - student), 9) + 0.0
        key = np.sort(totals + 1j * np.array(sizes)).tobytes()
        if key not in known:
            known[key] = decide(student, teacher)
        return known[key]

    return remembered


def old_rule(student: Array, teacher: Array, index: npt.NDArray[np.int64]) -> bool:
    """What Distil 0.1.0 did: the upper end of a t interval by group."""
    loss = teacher - student
    count = int(index.max()) + 1
    sums = np.bincount(index, weights=loss - loss.mean())
    se = math.sqrt(count / (count - 1) * float(np.sum(sums**2))) / len(loss)
    return bool(loss.mean() + stats.t_quantile(0.95, count - 1) * se < MARGIN)


def wrong(rng: np.random.Generator, index: npt.NDArray[np.int64], chance: float, icc: float) -> Array:
    """0/1 losses: each prompt takes its group's with chance sqrt(icc), otherwise its own."""
    shared = rng.random(int(index.max()) + 1) < chance
    own = rng.random(len(index)) < chance
    return np.where(rng.random(len(index)) < math.sqrt(icc), shared[index], own).astype(np.float64)


@pytest.mark.parametrize("n", [30, 50, 72, 100, 200, 300, 400, 800])
def test_the_exact_error_against_a_teacher_always_right(n: int) -> None:
    teacher = np.ones(n)
    passing = -1
    while stats.non_inferiority(np.append(np.zeros(passing + 1), np.ones(n - passing - 1)), teacher, MARGIN).passed:
        passing += 1
    error = float(scipy_stats.binom.cdf(passing, n, MARGIN)) if passing >= 0 else 0.0
    next_error = float(scipy_stats.binom.cdf(passing + 1, n, MARGIN))
    assert error <= TAIL < next_error  # right at the edge: no test of this data can pass more often


@pytest.mark.parametrize("n", [40, 90])
def test_the_exact_error_at_any_disagreement(n: int) -> None:
    """Losses and gains: for each number of pairs that differ, the largest number of losses that passes, summed exactly."""
    most = []
    losses = -1
    for differ in range(n + 1):
        while losses < differ:
            gained = differ - losses - 1
            student = np.concatenate([np.zeros(losses + 1), np.ones(n - losses - 1)])
            teacher = np.concatenate([np.ones(losses + 1), np.zeros(gained), np.ones(n - differ)])
            if not stats.non_inferiority(student, teacher, MARGIN).passed:
                break
            losses += 1
        most.append(losses)
    differ = np.arange(n + 1)
    for rate in np.linspace(MARGIN, 1.0, 25):
        share = (1 + MARGIN / rate) / 2
        error = scipy_stats.binom.pmf(differ, n, rate) @ scipy_stats.binom.cdf(most, differ, share)
        assert error <= TAIL


@pytest.mark.parametrize(
    ("sizes", "icc"),
    [
        ([2] * 50, 0.5),
        ([1] * 30, 0.0),
        ([5] * 40, 0.2),
        ([20] * 10, 1.0),
        ([10] * 80, 1.0),
        ([50] * 4, 0.5),
        ([100] + [1] * 100, 1.0),
        ([2, 3, 5, 10, 20, 40, 50, 70], 0.2),
    ],
)
def test_at_the_margin_few_of_many_trials_pass(sizes: list[int], icc: float) -> None:
    rng, runs = np.random.default_rng(11), 300
    index = np.repeat(np.arange(len(sizes)), sizes)
    labels = [f"g{i}" for i in index]
    decide = once_each(lambda a, b: stats.non_inferiority(a, b, MARGIN, labels).passed, sizes)
    passed = before = 0
    for _ in range(runs):
        teacher = np.ones(len(index))
        student = teacher - wrong(rng, index, MARGIN, icc)
        passed += decide(student, teacher)
        before += old_rule(student, teacher, index)
    limit = TAIL + 2 * math.sqrt(TAIL * (1 - TAIL) / runs)
    assert passed / runs <= limit < before / runs


def test_a_student_worse_by_the_margin_everywhere_never_passes() -> None:
    rng = np.random.default_rng(12)
    for n in (30, 100, 800):
        teacher = rng.uniform(0.5, 1.0, n)
        assert not stats.non_inferiority(teacher - MARGIN, teacher, MARGIN).passed


@pytest.mark.parametrize("students", [1, 3, 10])
def test_the_best_of_several_students_passes_no_more_often(students: int) -> None:
    rng, runs, n = np.random.default_rng(13), 400, 400
    decide = once_each(lambda a, b: stats.non_inferiority(a, b, MARGIN, comparisons=students).passed, [1] * n)
    teacher = np.ones(n)
    any_passed = sum(
        any(decide((rng.random(n) >= MARGIN).astype(float), teacher) for _ in range(students)) for _ in range(runs)
    )
    assert any_passed / runs <= TAIL + 2 * math.sqrt(TAIL * (1 - TAIL) / runs)


@pytest.mark.parametrize(
    ("sizes", "icc", "right"),
    [([2] * 100, 0.5, 0.98), ([5] * 40, 0.2, 0.95), ([40] * 5, 0.5, 0.95), ([100] + [1] * 100, 0.5, 0.95)],
)
def test_intervals_of_grouped_rates_cover_and_stay_inside(sizes: list[int], icc: float, right: float) -> None:
    rng, runs = np.random.default_rng(14), 60
    index = np.repeat(np.arange(len(sizes)), sizes)
    covered = 0
    for _ in range(runs):
        estimate = stats.summarize(1 - wrong(rng, index, 1 - right, icc), index.tolist())
        assert 0 <= estimate.low <= estimate.mean <= estimate.high <= 1
        covered += estimate.low <= right <= estimate.high
    assert covered / runs >= 0.93


def test_an_equal_student_is_rarely_called_better() -> None:
    rng, runs, n = np.random.default_rng(15), 400, 80
    decide = once_each(lambda a, b: stats.paired_difference(a, b).estimate.low > 0, [1] * n)
    better = sum(decide(*(rng.random((2, n)) < 0.8).astype(float)) for _ in range(runs))
    assert better / runs <= TAIL + 2 * math.sqrt(TAIL * (1 - TAIL) / runs)


def test_the_interval_of_the_retained_share_covers() -> None:
    rng, runs, n = np.random.default_rng(16), 60, 120
    covered = 0
    for _ in range(runs):
        teacher = rng.random(n) < 0.9
        student = (teacher & (rng.random(n) < 0.95)).astype(float)
        kept = stats.retention(student, teacher.astype(float))
        assert kept is not None
        assert 0 <= kept.low <= kept.mean <= kept.high
        covered += kept.low <= 0.95 <= kept.high
    assert covered / runs >= 0.93


@pytest.mark.parametrize(("size", "chance"), [(1, 0.01), (1, 0.0), (5, 0.01)])
def test_the_needed_prompts_give_the_promised_power(size: int, chance: float) -> None:
    rng, shares = np.random.default_rng(17), []
    for _ in range(8):
        pilot = np.repeat(np.arange(150 // size), size)
        needed = stats.needed_prompts(1 - wrong(rng, pilot, chance, 0.2), np.ones(150), MARGIN, pilot.tolist())
        assert needed is not None
        index = np.repeat(np.arange(-(-needed // size)), size)
        for _ in range(4):
            student = 1 - wrong(rng, index, chance, 0.2)
            shares.append(stats.non_inferiority(student, np.ones(len(index)), MARGIN, index.tolist()).passed)
    assert np.mean(shares) >= 0.8
