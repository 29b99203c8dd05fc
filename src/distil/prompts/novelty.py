"""Is a text new, or nearly one that is already there? MinHash-LSH proposes, exact Jaccard over words and word pairs decides.

Grows one text at a time, unlike curate's near-duplicates, which look at a finished set. Used by expand.py.
"""

from __future__ import annotations

import itertools
import re
from typing import Any

PERMUTATIONS = 128
RECALL = 0.99
"""Chance that a pair exactly at the threshold is proposed."""
_SEED = 42
_WORD = re.compile(r"\w+")


class Known:
    """The texts that there are. `similarity`: Jaccard from which on two texts are the same."""

    def __init__(self, similarity: float) -> None:
        from rensa import RMinHashLSH

        self._similarity = similarity
        self._lsh: Any = RMinHashLSH(similarity, PERMUTATIONS, bands(similarity))
        self._sets: list[frozenset[str]] = []
        self._exact: set[frozenset[str]] = set()

    def add(self, text: str) -> bool:
        """Takes a text in and returns True, or False when it is nearly one that is there (or has no words)."""
        found = features(text)
        if not found or found in self._exact:
            return False
        signature = _signature(found)
        for index in self._lsh.query(signature):
            if _jaccard(found, self._sets[index]) >= self._similarity:
                return False
        self._insert(found, signature)
        return True

    def seed(self, text: str) -> None:
        """Takes a text in, whatever it resembles: the user's own prompts are not judged here."""
        found = features(text)
        if found and found not in self._exact:
            self._insert(found, _signature(found))

    def _insert(self, found: frozenset[str], signature: Any) -> None:
        self._lsh.insert(len(self._sets), signature)
        self._sets.append(found)
        self._exact.add(found)


def features(text: str) -> frozenset[str]:
    """Lower-case words and pairs of neighbors."""
    words = _WORD.findall(text.lower())
    return frozenset(words) | {f"{first} {second}" for first, second in itertools.pairwise(words)}


def bands(similarity: float) -> int:
    """The fewest bands (a divisor of the permutations) that propose a pair at the threshold with RECALL.

    With r rows a band, b bands propose a pair of similarity s with probability 1 - (1 - s^r)^b (Indyk and Motwani 1998).
    """
    for rows in (32, 16, 8, 4, 2):
        count = PERMUTATIONS // rows
        if 1 - (1 - similarity**rows) ** count >= RECALL:
            return count
    return PERMUTATIONS


def _signature(found: frozenset[str]) -> Any:
    from rensa import RMinHash

    signature = RMinHash(PERMUTATIONS, _SEED)
    signature.update(sorted(found))
    return signature


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    common = len(one & other)
    return common / (len(one) + len(other) - common)
