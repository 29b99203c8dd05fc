"""Is a text new, or a near-duplicate? MinHash-LSH proposes, exact Jaccard over words and word pairs decides.

Grows one text at a time, unlike curate's near-duplicates, which compare a finished set.
"""

from __future__ import annotations

import re
import unicodedata

from rensa import RMinHash, RMinHashLSH

from distil.words import runs

PERMUTATIONS = 128
RECALL = 0.99
"""Chance that a pair exactly at the threshold is proposed."""
_SEED = 42
_POINTS = re.compile("[\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u0640]")


class NoveltyFilter:
    """The texts so far. similarity: minimum Jaccard at which two texts count as the same."""

    def __init__(self, similarity: float) -> None:
        self._similarity = similarity
        self._lsh = RMinHashLSH(similarity, PERMUTATIONS, bands(similarity))
        self._sets: list[frozenset[str]] = []
        self._exact: set[frozenset[str]] = set()

    def add(self, text: str) -> bool:
        """Adds a new text and returns True; returns False for a near-duplicate and for a text without words."""
        words = features(text)
        if not words or words in self._exact:
            return False
        signature = _signature(words)
        if any(_jaccard(words, self._sets[index]) >= self._similarity for index in self._lsh.query(signature)):
            return False
        self._insert(words, signature)
        return True

    def seed(self, text: str) -> None:
        """Adds a text whatever it resembles: the user's prompts are not judged here."""
        words = features(text)
        if words and words not in self._exact:
            self._insert(words, _signature(words))

    def _insert(self, words: frozenset[str], signature: RMinHash) -> None:
        self._lsh.insert(len(self._sets), signature)
        self._sets.append(words)
        self._exact.add(words)


def features(text: str) -> frozenset[str]:
    """Lower-case words and pairs of adjacent words; of scripts without blanks, pairs and triples of adjacent characters.

    Case, punctuation, the width of characters and vowel points do not count.
    """
    found = set[str]()
    before: str | None = None
    for run, unspaced in runs(_plain(text)):
        if unspaced:
            found |= grams(run)
            before = None
            continue
        found.add(run)
        if before is not None:
            found.add(f"{before} {run}")
        before = run
    return frozenset(found)


def grams(run: str) -> set[str]:
    """The pairs and triples of adjacent characters of a run; the run itself where it is shorter."""
    return {run[at : at + size] for size in (2, 3) for at in range(len(run) - size + 1)} or {run}


def _plain(text: str) -> str:
    """Full-width letters as plain ones, and without the vowel points that Arabic and Hebrew may leave out."""
    if text.isascii():
        return text
    return _POINTS.sub("", unicodedata.normalize("NFKC", text))


def bands(similarity: float) -> int:
    """The fewest bands (a divisor of the permutations) that propose a pair at the threshold with RECALL.

    With r rows a band, b bands propose a pair of similarity s with probability 1 - (1 - s^r)^b (Indyk and Motwani 1998).
    """
    for rows in (32, 16, 8, 4, 2):
        count = PERMUTATIONS // rows
        if 1 - (1 - similarity**rows) ** count >= RECALL:
            return count
    return PERMUTATIONS


def _signature(words: frozenset[str]) -> RMinHash:
    signature = RMinHash(PERMUTATIONS, _SEED)
    signature.update(sorted(words))
    return signature


def _jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    common = len(a & b)
    return common / (len(a) + len(b) - common)
