"""Text as sets: character shingles as 64-bit hashes, and their Jaccard similarity."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from distil.text import normalize

Shingles = NDArray[np.uint64]
"""Sorted, distinct 64-bit hashes of a text's character 5-grams."""

SHINGLE_LENGTH = 5
_BASE = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_TEXTS_AT_ONCE = 2_000
_CHARACTERS_AT_ONCE = 1_000_000


def text_key(text: str) -> str:
    """A short key, equal for texts that `normalize` makes equal."""
    return hashlib.blake2b(normalize(text).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def shingles(text: str) -> Shingles:
    """Hashes of the character 5-grams of the normalized text; a shorter text is one shingle, an empty one none."""
    return shingle_rows([text])[0]


def shingle_rows(texts: Sequence[str]) -> list[Shingles]:
    """The shingles of each text: 8 bytes per distinct 5-gram."""
    rows: list[Shingles] = []
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(normalize(text))
        size += len(batch[-1])
        if len(batch) >= _TEXTS_AT_ONCE or size >= _CHARACTERS_AT_ONCE:
            rows += _batch(batch)
            batch, size = [], 0
    return rows + _batch(batch)


def _batch(texts: Sequence[str]) -> list[Shingles]:
    """Shingles of normalized texts, hashed together: one text at a time costs five times as much."""
    padded = [text.ljust(SHINGLE_LENGTH, "\0") if text else "" for text in texts]
    codes = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    count = max(codes.size - SHINGLE_LENGTH + 1, 0)
    hashes = np.zeros(count, dtype=np.uint64)
    for offset in range(SHINGLE_LENGTH):
        hashes = hashes * _BASE + codes[offset : offset + count]  # wraps modulo 2^64
    hashes ^= hashes >> np.uint64(30)  # splitmix64's finalizer spreads the bits
    hashes *= _MIX_1
    hashes ^= hashes >> np.uint64(27)
    hashes *= _MIX_2
    hashes ^= hashes >> np.uint64(31)
    rows, start = [], 0
    for text in padded:
        rows.append(_distinct(hashes[start : start + max(len(text) - SHINGLE_LENGTH + 1, 0)]))
        start += len(text)
    return rows


def _distinct(hashes: Shingles) -> Shingles:
    """Sorted and without repeats (np.unique takes ten times as long for a few hundred numbers)."""
    ordered = np.sort(hashes)
    keep = np.ones(ordered.size, dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=keep[1:])
    return ordered[keep]


def jaccard(a: Shingles, b: Shingles) -> float:
    """|a ∩ b| / |a ∪ b|; two empty sets count as 0, since nothing is known of them."""
    if a.size == 0 or b.size == 0:
        return 0.0
    if a.size > b.size:
        a, b = b, a
    at = b.searchsorted(a)
    at[at == b.size] = 0
    common = int(np.count_nonzero(b[at] == a))
    return common / (a.size + b.size - common)


def without(item: Shingles, others: Shingles) -> Shingles:
    """What of a set is not in another."""
    if not others.size:
        return item
    at = others.searchsorted(item)
    at[at == others.size] = 0
    return item[others[at] != item]
