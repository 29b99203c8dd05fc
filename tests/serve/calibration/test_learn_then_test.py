"""The guarantee holds: certified thresholds are safe, even when the score carries no information."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from distil.serve.calibration.learn_then_test import (
    binomial_cdf,
    certify,
    fixed_sequence,
    labels_needed,
    make_grid,
    refuting_p_value,
    risk_p_value,
    start_coverage,
    start_points,
    usual_group,
    zero_failure_labels,
)

RISK, DELTA, LABELS = 0.10, 0.05, 500


@given(st.integers(0, 400), st.integers(1, 400), st.floats(0.001, 0.5))
@settings(max_examples=100, deadline=None)
def test_the_binomial_tail_is_exact(k: int, n: int, p: float) -> None:
    assert binomial_cdf(k, n, p) == pytest.approx(binom.cdf(k, n, p), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("risk", "labels", "failures"),
    [(0.10, 200, 12), (0.10, 500, 38), (0.05, 200, 4), (0.05, 500, 16), (0.05, 1000, 38), (0.02, 500, 4)],
)
def test_the_allowed_failures_are_those_of_the_exact_test(risk: float, labels: int, failures: int) -> None:
    assert binomial_cdf(failures, labels, risk) <= DELTA < binomial_cdf(failures + 1, labels, risk)


@pytest.mark.parametrize(("risk", "labels"), [(0.2, 14), (0.1, 29), (0.05, 59), (0.02, 149), (0.01, 299)])
def test_the_fewest_labels_without_a_failure(risk: float, labels: int) -> None:
    assert zero_failure_labels(risk, DELTA) == labels
    assert (1 - risk) ** labels <= DELTA < (1 - risk) ** (labels - 1)


def simulate(runs: int, true_risk: float, *, pick_any: bool = False) -> float:
    """Share of runs that certify although the score carries no information and the true risk is above the limit."""
    rng = np.random.default_rng(7)
    certified = 0
    for _ in range(runs):
        scores, bad = rng.random(LABELS), rng.random(LABELS) < true_risk
        grid = make_grid(rng.random(200).tolist(), start_coverage(LABELS, RISK, DELTA))
        if pick_any:
            served = [(int((bad & (scores >= t)).sum()), int((scores >= t).sum())) for t in grid]
            certified += any(n and binomial_cdf(k, n, RISK) <= DELTA for k, n in served)
        else:
            outcome = fixed_sequence(scores.tolist(), bad.tolist(), grid, risk=RISK, delta=DELTA)
            certified += outcome.threshold is not None
    return certified / runs


def test_false_certification_is_as_rare_as_guaranteed() -> None:
    """With a score that carries no information and a true risk just above the limit."""
    runs = 1500
    noise = 3 * math.sqrt(DELTA * (1 - DELTA) / runs)
    assert simulate(runs, RISK * 1.001) <= DELTA + noise


def test_the_simulation_detects_a_greedy_method() -> None:
    """One that picks the loosest threshold whose own bound is below the risk."""
    assert simulate(300, RISK * 1.001, pick_any=True) > 2 * DELTA


def test_an_informative_score_is_certified_within_the_risk() -> None:
    rng = np.random.default_rng(3)
    unsafe, coverage = 0, []
    for _ in range(200):
        scores = rng.random(LABELS)
        bad = rng.random(LABELS) < 0.4 * (1 - scores) ** 2  # P(bad | score)
        grid = make_grid(rng.random(200).tolist(), start_coverage(LABELS, 0.05, DELTA))
        outcome = fixed_sequence(scores.tolist(), bad.tolist(), grid, risk=0.05, delta=DELTA)
        if outcome.threshold is not None:
            true_risk = 0.4 * (1 - outcome.threshold) ** 2 / 3  # its mean over scores above the threshold
            unsafe += true_risk > 0.05
            coverage.append(1 - outcome.threshold)
    assert unsafe / 200 <= DELTA + 3 * math.sqrt(DELTA * (1 - DELTA) / 200)
    assert len(coverage) > 150 and np.mean(coverage) > 0.4  # 0.61 of the requests is the most that is safe


def test_the_walk_stops_at_the_first_failing_threshold() -> None:
    """Even if a looser one would pass."""
    scores = [0.9] * 100 + [0.5] * 40 + [0.1] * 400
    bad = [False] * 100 + [True] * 40 + [False] * 400
    outcome = fixed_sequence(scores, bad, [0.8, 0.4, 0.0], risk=0.1, delta=0.05)
    assert binomial_cdf(40, 540, 0.1) <= 0.05
    assert (outcome.threshold, outcome.served, outcome.bad, outcome.tested) == (0.8, 100, 0, 2)


def test_a_grid_must_run_from_strict_to_loose() -> None:
    with pytest.raises(ValueError, match="strict to loose"):
        fixed_sequence([0.5], [False], [0.1, 0.2], risk=0.1, delta=0.05)


def test_the_grid_starts_at_the_share_and_ends_at_zero() -> None:
    """The strictest threshold lets the requested share through, the loosest everything."""
    grid = make_grid([i / 1000 for i in range(1000)], 0.4)
    assert grid[0] == pytest.approx(0.6, abs=0.002) and grid[-1] == 0.0
    assert make_grid([], 0.4) == [0.0]


def test_how_many_labels_are_missing() -> None:
    assert labels_needed(20, 0, risk=0.05, delta=0.05) == 59
    needed = labels_needed(50, 1, risk=0.05, delta=0.05)
    assert needed is not None and binomial_cdf(math.floor(needed / 50), needed, 0.05) <= 0.05
    assert labels_needed(50, 5, risk=0.05, delta=0.05) is None


def certified_in_groups(rng: np.random.Generator, size: int, true_risk: float, *, counted: bool) -> bool:
    """One calibration on prompts in groups that share score and label."""
    groups = np.repeat(np.arange(LABELS // size), size)
    bad, scores = (rng.random(LABELS // size) < true_risk)[groups], rng.random(LABELS // size)[groups]
    names = [str(group) for group in groups] if counted else [None] * LABELS
    grid_scores = rng.random(200).tolist()
    outcome, _ = certify(scores.tolist(), bad.tolist(), grid_scores, risk=RISK, delta=DELTA, groups=names)
    return outcome.threshold is not None


@pytest.mark.parametrize("size", [2, 5, 10])
def test_groups_do_not_break_the_guarantee(size: int) -> None:
    """400 runs: at most delta and two standard errors. The same prompts counted apart certify falsely much more often."""
    rng, runs = np.random.default_rng(size), 400
    false = sum(certified_in_groups(rng, size, 0.1001, counted=True) for _ in range(runs)) / runs
    assert false <= DELTA + 2 * math.sqrt(DELTA * (1 - DELTA) / runs)
    if size >= 5:
        apart = sum(certified_in_groups(rng, size, 0.1001, counted=False) for _ in range(100)) / 100
        assert apart > 0.15
    assert sum(certified_in_groups(rng, size, 0.01, counted=True) for _ in range(40)) >= (30 if size <= 5 else 0)


def test_a_prompt_without_a_group_counts_by_itself() -> None:
    bad = [True] + [False] * 59
    alone, named = [None] * 60, [str(n) for n in range(60)]
    assert risk_p_value(bad, alone, 0.1) == risk_p_value(bad, named, 0.1) == binomial_cdf(1, 60, 0.1)
    assert risk_p_value(bad, ["g"] * 30 + alone[30:], 0.1) > risk_p_value(bad, alone, 0.1)
    assert risk_p_value([], [], 0.1) == 1.0
    assert (usual_group([]), usual_group(alone), usual_group(["a", "a", "b", "b"])) == (1.0, 1.0, 2.0)


@pytest.mark.parametrize(
    ("bad", "served", "risk", "refuted"), [(14, 40, 0.15, True), (40, 94, 0.3, True), (8, 40, 0.15, False)]
)
def test_held_out_answers_can_refute_the_promise(bad: int, served: int, risk: float, refuted: bool) -> None:
    answers = [n < bad for n in range(served)]
    p_value = refuting_p_value(answers, [None] * served, risk)
    assert p_value == pytest.approx(binom.sf(bad - 1, served, risk))
    assert (p_value <= DELTA) == refuted


@pytest.mark.parametrize("labels", [30, 100, 300, 1_000, 20_000])
def test_all_walks_together_spend_delta_once(labels: int) -> None:
    points = start_points(labels, RISK, DELTA)
    assert math.fsum(delta for _, delta in points) == pytest.approx(DELTA)
    assert [coverage for coverage, _ in points] == sorted({coverage for coverage, _ in points})
    assert (len(points) == 1) == (labels < 100)


def test_more_labels_certify_more_where_the_score_tells_nothing() -> None:
    """A single walk fails at its first few answers in three runs of ten, with any number of labels."""
    rng, runs = np.random.default_rng(2), 40

    def certified(labels: int) -> int:
        count = 0
        for _ in range(runs):
            scores, bad = rng.random(labels), rng.random(labels) < RISK / 2
            outcome, _ = certify(scores.tolist(), bad.tolist(), rng.random(200).tolist(), risk=RISK, delta=DELTA)
            count += outcome.threshold == 0.0
        return count

    assert certified(1_000) == runs
