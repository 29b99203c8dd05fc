"""Requests that change are noticed; requests that do not are not, however long one looks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from distil.records import Message, Sampling
from distil.serve.certificate.reasons import Reason
from distil.serve.live.drift import DELTA, Drift, RankTest
from distil.serve.policy import Decision
from distil.serve.served import Served
from distil.serve.wire import ChatRequest


def turns(text: str) -> Sequence[Message]:
    return [Message(role="system", content="Be short."), Message(role="user", content=text)]


def served(text: str, reason: Reason = Reason.CONFIDENT) -> Served:
    request = ChatRequest("m", list(turns(text)), Sampling())
    return Served(request, Decision("student", reason), 0.9, None, None, seconds=0.0)


def questions(rng: np.random.Generator, count: int, words: Sequence[str], longest: int = 12) -> list[str]:
    return [" ".join(rng.choice(words, size=rng.integers(4, longest))) for _ in range(count)]


KNOWN = [
    "where",
    "is",
    "my",
    "order",
    "and",
    "when",
    "will",
    "the",
    "parcel",
    "arrive",
    "at",
    "home",
    "today",
    "please",
]
OTHER = [
    "wo",
    "ist",
    "meine",
    "Bestellung",
    "und",
    "wann",
    "kommt",
    "das",
    "Paket",
    "bei",
    "mir",
    "zu",
    "Hause",
    "an",
    "bitte",
]


def watching(rng: np.random.Generator) -> Drift:
    calibrated = [turns(text) for text in questions(rng, 100, KNOWN)]
    return Drift(calibrated, [turns(" ".join(KNOWN))], (60, 100), rng.random)


def test_requests_of_the_same_kind_are_no_drift() -> None:
    rng = np.random.default_rng(0)
    drift = watching(rng)
    for text in questions(rng, 1_500, KNOWN):
        drift.watch(served(text, Reason.CONFIDENT if rng.random() < 0.6 else Reason.UNSURE))
    assert drift.words() == []


def test_length_words_and_certainty_are_told_apart() -> None:
    rng = np.random.default_rng(1)
    long, foreign, unsure = watching(rng), watching(rng), watching(rng)
    for text in questions(rng, 300, KNOWN, longest=40):
        long.watch(served(text, Reason.CONFIDENT if rng.random() < 0.6 else Reason.UNSURE))
    for text in questions(rng, 300, OTHER):
        foreign.watch(served(text, Reason.CONFIDENT if rng.random() < 0.6 else Reason.UNSURE))
    for text in questions(rng, 600, KNOWN):
        unsure.watch(served(text, Reason.CONFIDENT if rng.random() < 0.25 else Reason.UNSURE))
    (told,) = long.words()
    assert "longer than the calibrated ones" in told
    assert any("other words" in line for line in foreign.words())
    (told,) = unsure.words()
    assert told.startswith("The student is sure of") and "60% at the calibration" in told


def test_false_reports_are_as_rare_as_promised() -> None:
    """40 streams of 1,500 values like the 50 known ones: one at most is reported."""
    rng = np.random.default_rng(2)
    found = 0
    for _ in range(40):
        test = RankTest(rng.random(50).tolist(), rng.random)
        for value in rng.random(1_500):
            test.add(float(value))
        found += test.found
    assert found <= 40 * DELTA + 2 * np.sqrt(40 * DELTA)


def test_values_that_tie() -> None:
    rng = np.random.default_rng(3)
    test = RankTest([1.0] * 30 + [0.0] * 30, rng.random)
    for _ in range(200):
        test.add(float(rng.random() < 0.5))
    assert not test.found
    for _ in range(200):
        test.add(1.0)
    assert test.found and test.above() > 0.6
