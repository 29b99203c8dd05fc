"""The fold over audits: alarm, closing, opening again, and the same state after a replay."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from distil.runs.schemas.audits import Audit
from distil.serve.live.state import LiveState, OnAlarm, Terms

THRESHOLD = 0.8


def terms(on_alarm: OnAlarm = "tighten", certificate: str = "c") -> Terms:
    return Terms(certificate, risk=0.05, delta=0.05, threshold=THRESHOLD, on_alarm=on_alarm)


def audit(bad: bool, **fields: object) -> Audit:
    values = {
        "id": "r",
        "at": "2026-11-29T00:00:00+00:00",
        "student": "s",
        "fingerprint": "f",
        "certificate": "c",
        "answered": "student",
        "probability": 0.02,
        "weight": 1.0,
        "share": 0.02,
        "confidence": 0.9,
        "threshold": THRESHOLD,
        "risk": 0.05,
        "bad": bad,
        "requests": 50,
    }
    return Audit.model_validate(values | fields)


def drifted(rng: np.random.Generator, state: LiveState) -> list[Audit]:
    """Audits after a change: a quarter is bad below a confidence of 0.95, one in 200 above, until the gate opens again."""
    lines = []
    while state.openings == 0 and len(lines) < 5_000:
        confidence = float(rng.uniform(THRESHOLD, 1.0))
        bad = rng.random() < (0.25 if confidence < 0.95 else 0.005)
        answered = "teacher" if state.closed else "student"
        lines.append(audit(bad, confidence=confidence, answered=answered, threshold=state.threshold))
        state.add(lines[-1])
    return lines


def test_tighten_closes_the_gate_and_opens_it_higher() -> None:
    state = LiveState(terms())
    lines = drifted(np.random.default_rng(0), state)
    assert state.openings == 1 and not state.closed and not state.alarm
    assert 0.9 < state.threshold < 1.0 and state.audits == 0
    assert sum(line.answered == "teacher" for line in lines) > 50


def test_off_stays_shut_and_warn_stays_open() -> None:
    for on_alarm, closed in (("off", True), ("warn", False)):
        state = LiveState(terms(on_alarm))
        events = [state.add(audit(bad=True)) for _ in range(30)]
        assert events.count("alarm") == 1 and state.alarm and state.closed is closed
        compared = [state.add(audit(bad=False, answered="teacher")) for _ in range(3_000)]
        assert not any(compared) and state.alarm


def test_a_replay_gives_the_same_state() -> None:
    state, again = LiveState(terms()), LiveState(terms())
    for line in drifted(np.random.default_rng(1), state):
        again.add(Audit.model_validate_json(line.model_dump_json()))
    assert (again.threshold, again.closed, again.openings) == (state.threshold, state.closed, state.openings)


def test_audits_of_another_certificate_do_not_count() -> None:
    state = LiveState(terms())
    for _ in range(100):
        state.add(audit(bad=True, certificate="older"))
    assert state.audits == 0 and not state.alarm and state.error is None and state.interval() == (0.0, 1.0)


def test_an_audit_from_before_the_alarm_does_not_count() -> None:
    """It was chosen before, and labeled after it."""
    state = LiveState(terms())
    first = list(itertools.takewhile(lambda event: event is None, (state.add(audit(bad=True)) for _ in range(50))))
    assert state.closed and state.audits == len(first) + 1
    state.add(audit(bad=True))
    assert state.audits == len(first) + 1


def test_the_estimate_weighs_by_the_probability() -> None:
    """Half of the answers are audited at 4%, where a tenth is bad; half at 2%, where none is."""
    state, rng = LiveState(terms("warn")), np.random.default_rng(5)
    for _ in range(200_000):
        near = rng.random() < 0.5
        probability = 0.04 if near else 0.02
        if rng.random() < probability:
            bad = bool(near and rng.random() < 0.1)
            state.add(audit(bad, probability=probability, weight=0.5 if near else 1.0))
    assert state.error == pytest.approx(0.05, abs=0.008)
    low, high = state.interval()
    assert low < 0.05 < high and high - low < 0.03
    assert state.bad / state.audits > 0.06  # what a plain share would say
