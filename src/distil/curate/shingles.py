"""Text as sets: character shingles as 64-bit hashes, and their Jaccard similarity."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from distil.text import normalize

Shingles = NDArray[np.uint64]
"""Sorted, distinct 64-bit hashes of a text's character 5-grams."""

SHINGLE_LENGTH = 5
_BASE = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def text_key(text: str) -> str:
    """A short key, equal for texts that `normalize` makes equal."""
    return hashlib.blake2b(normalize(text).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def shingles(text: str) -> Shingles:
    """Hashes of the character 5-grams of the normalized text; a shorter text is one shingle, an empty one none."""
    raw = normalize(text).encode("utf-32-le", "surrogatepass")
    codes = np.frombuffer(raw, dtype=np.uint32).astype(np.uint64)  # (characters,)
    if codes.size == 0:
        return codes
    if codes.size < SHINGLE_LENGTH:
        codes = np.pad(codes, (0, SHINGLE_LENGTH - codes.size))
    count = codes.size - SHINGLE_LENGTH + 1
    hashes = np.zeros(count, dtype=np.uint64)
    for offset in range(SHINGLE_LENGTH):
        hashes = hashes * _BASE + codes[offset : offset + count]  # wraps modulo 2^64
    hashes ^= hashes >> np.uint64(30)  # splitmix64's finalizer spreads the bits
    hashes *= _MIX_1
    hashes ^= hashes >> np.uint64(27)
    hashes *= _MIX_2
    hashes ^= hashes >> np.uint64(31)
    return np.unique(hashes)


def jaccard(a: Shingles, b: Shingles) -> float:
    """|a ∩ b| / |a ∪ b|; two empty sets count as 0, since nothing is known of them."""
    if a.size == 0 or b.size == 0:
        return 0.0
    common = np.intersect1d(a, b, assume_unique=True).size
    return common / (a.size + b.size - common)
