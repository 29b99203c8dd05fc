"""How far the teacher agrees with itself: what was asked twice, and how often the answer was the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Agreement(NamedTuple):
    """How often the teacher gives the same answer to the same request: no student can be more like it."""

    share: float
    """Of pairs of answers to one request, those that are the same."""
    low: float
    high: float
    """95% interval over requests (Wilson)."""
    requests: int
    """Requests that were asked more than once."""


def agreement(questions: Sequence[bytes], keys: Sequence[str]) -> Agreement | None:
    """None where nothing was asked twice. A request's share counts once, however often it was asked."""
    groups: dict[bytes, list[str]] = {}
    for question, key in zip(questions, keys, strict=True):
        groups.setdefault(question, []).append(key)
    shares = [_same_pairs(found) for found in groups.values() if len(found) > 1]
    if not shares:
        return None
    low, high = wilson(sum(shares), len(shares))
    return Agreement(sum(shares) / len(shares), low, high, len(shares))


def _same_pairs(keys: Sequence[str]) -> float:
    pairs = len(keys) * (len(keys) - 1) / 2
    same = sum(keys.count(key) * (keys.count(key) - 1) / 2 for key in set(keys))
    return same / pairs


def wilson(right: float, count: float, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval of a share, 95% by default."""
    if count <= 0:
        return 0.0, 1.0
    share = right / count
    middle = share + z * z / (2 * count)
    half = z * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return float(max(0.0, (middle - half) / (1 + z * z / count))), float(
        min(1.0, (middle + half) / (1 + z * z / count))
    )
