"""Bets against a promised error: how often they are wrong at the boundary, and how soon they notice. Seeded simulations."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from distil.stats.betting import ExcessTest, LowTest, bets_above, bets_below, share_interval

RISK, DELTA = 0.05, 0.05


def first_alarm(errors: np.ndarray, weight: float = 1.0) -> int | None:
    test = ExcessTest(RISK)
    for number, bad in enumerate(errors, start=1):
        test.add(bool(bad), weight)
        if test.evidence >= 1 / DELTA:
            return number
    return None


def test_every_bet_leaves_something() -> None:
    for risk in (0.001, 0.05, 0.3, 0.9):
        assert (bets_above(risk) > 0).all() and (bets_above(risk) < 1 / risk).all()
        assert (bets_below(risk) > 0).all() and (bets_below(risk) < 1 / (1 - risk)).all()


def test_false_alarms_at_the_boundary_stay_below_delta() -> None:
    """60 runs of 1,000 audits at exactly the risk; a test that is repeated after each audit often is."""
    rng = np.random.default_rng(0)
    runs = rng.random((60, 1_000)) < RISK
    false = sum(first_alarm(run) is not None for run in runs)
    assert false <= 60 * DELTA + 2 * math.sqrt(60 * DELTA * (1 - DELTA))
    counts = np.arange(1, 1_001)
    z = (runs.cumsum(axis=1) / counts - RISK) / np.sqrt(RISK * (1 - RISK) / counts)
    assert (z[:, 50:] > 1.645).any(axis=1).mean() > 0.2


def test_a_good_time_delays_the_alarm_little() -> None:
    rng = np.random.default_rng(1)
    errors = np.concatenate([rng.random(2_000) < 0.03, rng.random(2_000) < 0.15])
    at = first_alarm(errors)
    assert at is not None and 2_000 < at < 2_400
    wealth = 1.0  # one bet from the beginning, without any that begins later
    for bad in errors[:at]:
        wealth *= 1 + bets_above(RISK)[2] * (bad - RISK)
    assert wealth < 1e-6


def test_a_change_is_noticed_sooner_than_the_alarm() -> None:
    rng, test = np.random.default_rng(2), ExcessTest(RISK)
    for bad in rng.random(1_000) < 0.02:
        test.add(bool(bad))
    assert test.change < 5_000
    for bad in rng.random(200) < 0.12:
        test.add(bool(bad))
        if test.change >= 5_000:
            break
    assert test.change >= 5_000 and test.evidence < 1 / DELTA


def test_evidence_of_a_low_share_is_rarely_wrong() -> None:
    rng = np.random.default_rng(3)

    def certified(error: float, count: int) -> bool:
        test = LowTest(RISK)
        for bad in rng.random(count) < error:
            test.add(float(bad))
            if test.evidence >= 1 / DELTA:
                return True
        return False

    assert sum(certified(RISK, 300) for _ in range(60)) <= 6
    assert sum(certified(0.01, 400) for _ in range(10)) >= 9


def test_the_interval_covers_at_all_times() -> None:
    """Looked at six times in 300 audits, in 40 runs: the share is left out in at most delta of the runs."""
    rng, missed = np.random.default_rng(4), 0
    for errors in rng.random((40, 300)) < 0.1:
        looks = [share_interval(Counter((1.0, bool(bad)) for bad in errors[:n]), 0.1) for n in range(50, 301, 50)]
        missed += any(not low <= 0.1 <= high for low, high in looks)
    assert missed <= 40 * 0.1 + 2 * math.sqrt(40 * 0.1 * 0.9)


def test_the_interval_of_few_and_of_no_errors() -> None:
    assert share_interval({}, 0.05) == (0.0, 1.0)
    low, high = share_interval({(1.0, False): 200}, 0.05)
    assert low == 0.0 and 0.01 < high < 0.05
    low, high = share_interval({(1.0, True): 5, (1.0, False): 95}, 0.05)
    assert 0.0 < low < 0.05 < high < 0.2


def test_evidence_stays_finite() -> None:
    test = ExcessTest(RISK)
    for _ in range(2_000):
        test.add(bad=True)
    assert math.isfinite(test.evidence) and math.isfinite(test.change) and test.evidence == pytest.approx(1e300, rel=1)
