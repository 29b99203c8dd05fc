"""Attempts that share the error certify falsely no more often than promised; the same attempts uncounted do."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import binom

from distil.runs.schemas.attempts import share_of
from distil.serve.calibration.learn_then_test import fixed_sequence

RISK, ERROR, RUNS = 0.05, 0.05, 2_000


def test_collecting_until_it_certifies_keeps_the_error() -> None:
    """Labels at 300, 600, ..., 3,000, everything served, at a true risk just above the promised one."""
    rng = np.random.default_rng(3)
    sizes = np.arange(300, 3_001, 300)
    bad = rng.binomial(300, RISK + 1e-4, (RUNS, len(sizes))).cumsum(axis=1)
    p_values = binom.cdf(bad, sizes, RISK)
    shares = np.array([share_of(k) for k in range(1, len(sizes) + 1)])
    uncounted = (p_values <= ERROR).any(axis=1).mean()
    shared = (p_values <= ERROR * shares).any(axis=1).mean()
    noise = 2 * math.sqrt(ERROR * (1 - ERROR) / RUNS)
    assert uncounted > ERROR + 5 * noise
    assert shared <= ERROR + noise


def test_the_first_attempt_keeps_most_of_its_power() -> None:
    """At a true risk of 2%, with 600 labels."""
    bad = np.random.default_rng(4).binomial(600, 0.02, RUNS)
    whole, shared = (float((binom.cdf(bad, 600, RISK) <= ERROR * share).mean()) for share in (1.0, share_of(1)))
    assert shared > 0.95 * whole > 0.9


def test_the_walk_spends_what_the_attempt_may() -> None:
    """A threshold that the first attempt accepts can be beyond what is left to the tenth."""
    scores, bad = [0.9] * 80, [False] * 80
    tested = [fixed_sequence(scores, bad, [0.5], risk=RISK, delta=ERROR * share_of(k)) for k in (1, 10)]
    assert [outcome.threshold for outcome in tested] == [0.5, None]
    assert tested[0].p_value == tested[1].p_value
