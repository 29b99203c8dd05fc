"""How sure a model was of an answer: features of its token probabilities, and one score in [0, 1] made from them.

Sums and means alone are biased by length, and the lowest tokens tell most (Gupta et al. 2024, "Language Model Cascades:
Token-level uncertainty and beyond"). A score is no probability of being right: what it is worth is what calibrate.py finds out.
Called by gateway.py and calibrate.py, which must use it alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from distil.serve.wire import ChatReply


class Features(NamedTuple):
    """What the token log-probabilities (nats) of one answer say."""

    tokens: int
    mean: float
    """Mean log-probability."""
    minimum: float
    """Log-probability of the least probable token."""
    lowest_tenth: float
    """Mean of the lowest tenth of the log-probabilities, at least one token."""
    median: float
    """Median log-probability."""
    mean_entropy: float | None
    """Mean entropy of the distributions that the tokens were drawn from; None where the engine does not say."""
    max_entropy: float | None
    """Highest entropy of a step."""


SCORES: dict[str, Callable[[Features], float | None]] = {
    "lowest_tenth": lambda f: math.exp(f.lowest_tenth),
    "mean": lambda f: math.exp(f.mean),
    "minimum": lambda f: math.exp(f.minimum),
    "entropy": lambda f: None if f.mean_entropy is None else math.exp(-f.mean_entropy),
}


def features(logprobs: Sequence[float], entropies: Sequence[float] = ()) -> Features | None:
    """The features of an answer; None without log-probabilities."""
    if not logprobs:
        return None
    ordered = sorted(logprobs)
    low = ordered[: max(1, math.ceil(len(ordered) / 10))]
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return Features(
        tokens=len(ordered),
        mean=math.fsum(ordered) / len(ordered),
        minimum=ordered[0],
        lowest_tenth=math.fsum(low) / len(low),
        median=median,
        mean_entropy=math.fsum(entropies) / len(entropies) if entropies else None,
        max_entropy=max(entropies) if entropies else None,
    )


def confidence(answered: ChatReply, score: str) -> float | None:
    """The score of an answer in [0, 1]; 0 for one that was cut off, None where the engine gives no probabilities."""
    if answered.finish_reason == "length":
        return 0.0
    found = features(answered.token_logprobs, answered.token_entropies)
    value = None if found is None else SCORES[score](found)
    return None if value is None else min(1.0, max(0.0, value))
