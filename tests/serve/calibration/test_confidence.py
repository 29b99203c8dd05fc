"""The confidence of an answer: its definition, what one improbable token does, and answers without probabilities."""

from __future__ import annotations

import math

import pytest

from distil.records import Usage
from distil.serve.calibration.confidence import confidence, features
from distil.serve.wire import ChatReply


def reply_with(logprobs: list[float], finish: str = "stop", entropies: list[float] | None = None) -> ChatReply:
    return ChatReply("x", finish, Usage(), token_logprobs=logprobs, token_entropies=entropies or [])


def test_features_follow_their_definitions() -> None:
    statistics = features([-0.1 * i for i in range(20)], [0.5, 1.5])
    assert statistics is not None
    assert statistics.minimum == pytest.approx(-1.9) and statistics.mean == pytest.approx(-0.95)
    assert statistics.lowest_tenth == pytest.approx(-1.85)
    assert statistics.mean_entropy == 1.0


def test_one_improbable_token_counts_in_a_long_answer() -> None:
    short, long = reply_with([-0.01] * 9 + [-3.0]), reply_with([-0.01] * 19 + [-3.0])
    assert confidence(short, "lowest_tenth") == pytest.approx(math.exp(-3))
    assert confidence(long, "lowest_tenth") == pytest.approx(math.exp(-1.505))
    assert confidence(long, "mean") > 0.8
    assert confidence(long, "minimum") == pytest.approx(math.exp(-3))


def test_confidence_of_missing_and_cut_answers() -> None:
    """None without probabilities, 0 for an answer that was cut off."""
    assert confidence(reply_with([]), "mean") is None
    assert confidence(reply_with([-0.1]), "entropy") is None
    assert confidence(reply_with([-0.1], entropies=[0.0]), "entropy") == 1.0
    assert confidence(reply_with([-0.1], finish="length"), "mean") == 0.0
