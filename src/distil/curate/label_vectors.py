"""Similarity of all texts to all others, a block at a time: by MiniLM, or by hashed TF-IDF where it is not installed.

The fallback counts character 3- to 5-grams inside of words, weights them by TF-IDF, and hashes them with signs into 2,048 numbers
(Weinberger et al. 2009): cosines come out right to about 0.02, with numpy alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from distil.embeddings.embedder import embedder
from distil.errors import UserError
from distil.text import normalize

GRAMS = (3, 4, 5)
WIDTH = 2048
BLOCK = 1_000
"""Rows of similarities in memory at once."""
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_SIGN = np.uint64(1 << 40)

Matrix = NDArray[np.float32]
Hashes = NDArray[np.uint64]


def similarities(texts: Sequence[str]) -> Iterator[tuple[int, Matrix]]:
    """(first row, (rows, len(texts)) cosines) of all texts in order; a caller may write into the block."""
    vectors = vectors_of(texts)
    for start in range(0, len(texts), BLOCK):
        yield start, vectors[start : start + BLOCK] @ vectors.T


def vectors_of(texts: Sequence[str]) -> Matrix:
    """(len(texts), width) unit vectors; an empty text is a zero vector."""
    try:
        embedder().prepare(texts)
    except UserError:  # distil[evaluate] is not installed
        return hashed(texts)
    return embedder().vectors(texts)


def hashed(texts: Sequence[str]) -> Matrix:
    """(len(texts), 2048) unit vectors by TF-IDF of character n-grams."""
    counted = [np.unique(_grams(text), return_counts=True) for text in texts]
    distinct, seen = np.unique(np.concatenate([grams for grams, _ in counted]), return_counts=True)
    rarity = np.log((1 + len(texts)) / (1 + seen)) + 1
    matrix = np.zeros((len(texts), WIDTH), dtype=np.float32)
    for row, (grams, counts) in zip(matrix, counted, strict=True):
        weights = (1 + np.log(counts)) * rarity[np.searchsorted(distinct, grams)]
        signs = np.where(grams & _SIGN, 1.0, -1.0)
        np.add.at(row, (grams % np.uint64(WIDTH)).astype(np.int64), weights * signs)
    return np.asarray(matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def _grams(text: str) -> Hashes:
    """Hashes of all n-grams of the words, with blanks around them."""
    words = "".join(sign if sign.isalnum() else " " for sign in normalize(text))
    codes = np.frombuffer(f" {' '.join(words.split())} ".encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    grams = [np.zeros(0, dtype=np.uint64)]
    for length in GRAMS:
        count = max(0, codes.size - length + 1)
        hashes = np.full(count, length, dtype=np.uint64)
        for offset in range(length):
            hashes = (hashes ^ codes[offset : offset + count].astype(np.uint64)) * _FACTOR  # wraps modulo 2^64
            hashes ^= hashes >> np.uint64(29)
        grams.append(hashes)
    return np.concatenate(grams)
