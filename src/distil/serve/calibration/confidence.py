"""The confidence of a model in an answer: one score in [0, 1], made from its token probabilities.

Sums and means alone are biased by length, and the lowest tokens carry most of the signal (Gupta et al. 2024, "Language Model
Cascades: Token-level uncertainty and beyond"). A score is not a probability of being right: calibrate.py finds out what it is
worth.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from distil.endings import ending
from distil.serve.wire import ChatReply


class Features(NamedTuple):
    """Statistics over the tokens of one answer, in nats."""

    mean: float
    """Mean log-probability."""
    minimum: float
    """Log-probability of the least probable token."""
    lowest_tenth: float
    """Mean of the lowest tenth of the log-probabilities, at least one token."""
    mean_entropy: float | None
    """Mean entropy of the distributions that the tokens were drawn from; None where the engine gives none."""


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
    low = ordered[: math.ceil(len(ordered) / 10)]
    return Features(
        mean=math.fsum(ordered) / len(ordered),
        minimum=ordered[0],
        lowest_tenth=math.fsum(low) / len(low),
        mean_entropy=math.fsum(entropies) / len(entropies) if entropies else None,
    )


def confidence(reply: ChatReply, score: str, prefix_tokens: int | None = None) -> float | None:
    """The score of an answer in [0, 1]; 0 for one that is not whole or refuses, None where the engine gives no probabilities.

    prefix_tokens: over the first so many tokens alone, as for a stream that is passed on after them: how a longer answer ends
    is not known then and counts for nothing.
    """
    logprobs, entropies = reply.token_logprobs, reply.token_entropies
    longer = prefix_tokens is not None and len(logprobs) >= prefix_tokens
    if not longer and ending(reply.finish_reason) != "ok":
        return 0.0
    statistics = features(logprobs[:prefix_tokens], entropies[:prefix_tokens])
    value = None if statistics is None else SCORES[score](statistics)
    return None if value is None else min(1.0, max(0.0, value))
