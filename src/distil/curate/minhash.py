"""MinHash-LSH: which rows may be near-duplicates, without comparing all with all. Proposals only; similar.py decides.

A signature's entries agree with chance J (Broder 1997). Rows that agree in all entries of a band are a bucket; a pair of
similarity t shares no bucket with chance (1 - t^width)^bands (Leskovec, Rajaraman, Ullman: Mining of Massive Datasets, 3.4).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash

from distil.curate.shingles import Shingles

PERMUTATIONS = 256
LSH_RECALL = 0.9999  # chance that a pair exactly at the threshold is proposed
CROWD = 48
"""Rows of a bucket up to which all its pairs are looked at; more are joined by what they do not share (crowd.py)."""
_SEED = 42
_ROWS_AT_ONCE = 1_000
_PAIRS_AT_ONCE = 8_192
_DEVIATIONS = 5  # a pair at the threshold whose signatures agree so much less has a chance below one in a million
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)

Signatures = NDArray[np.uint32]
"""(rows, PERMUTATIONS)."""
Rows = NDArray[np.int64]
"""Indices of rows."""


class Band(NamedTuple):
    """The buckets of one band."""

    first: Rows
    """Of all pairs in buckets of at most CROWD rows, one row ..."""
    second: Rows
    """... and the other."""
    crowds: list[Rows]
    """Larger buckets."""


def signatures(sets: Sequence[Shingles]) -> Signatures:
    """The signature of each set, 1 KB per row; none of the sets is empty."""
    made = np.empty((len(sets), PERMUTATIONS), dtype=np.uint32)
    for start in range(0, len(sets), _ROWS_AT_ONCE):
        part = sets[start : start + _ROWS_AT_ONCE]
        offsets = np.cumsum([0, *(s.size for s in part)]).astype(np.uint64)
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(np.concatenate(part), offsets, PERMUTATIONS, _SEED)
        made[start : start + len(part)] = matrix.to_rows()
    return made


def band_width(threshold: float) -> int:
    """The largest number of rows per band at which the chance to propose a pair at t, 1 - (1 - t^rows)^bands, is LSH_RECALL."""
    for width in range(PERMUTATIONS, 1, -1):
        bands = PERMUTATIONS // width
        if 1 - (1 - threshold**width) ** bands >= LSH_RECALL:
            return width
    return 1


def bands(signed: Signatures, threshold: float, kinds: NDArray[np.uint64] | None = None) -> Iterator[Band]:
    """The buckets of each band in turn. kinds: rows of different kinds share no bucket."""
    width = band_width(threshold)
    for start in range(0, PERMUTATIONS - width + 1, width):
        keys = np.zeros(len(signed), dtype=np.uint64) if kinds is None else kinds.copy()
        for column in range(start, start + width):
            keys = (keys ^ signed[:, column]) * _MULTIPLIER
            keys ^= keys >> np.uint64(29)
        yield _buckets(keys)


def _buckets(keys: NDArray[np.uint64]) -> Band:
    """Rows with equal keys (two different bands with one 64-bit key only cost a comparison)."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    sizes = np.diff(np.append(starts, keys.size))
    crowds = [order[s : s + n] for s, n in zip(starts[sizes > CROWD], sizes[sizes > CROWD], strict=True)]
    small = (sizes > 1) & (sizes <= CROWD)
    starts, sizes = starts[small], sizes[small]
    first, second = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for distance in range(1, int(sizes.max(initial=1))):
        counts = np.maximum(sizes - distance, 0)
        at = np.repeat(starts - np.concatenate(([0], np.cumsum(counts)[:-1])), counts) + np.arange(counts.sum())
        first.append(order[at])
        second.append(order[at + distance])
    return Band(np.concatenate(first), np.concatenate(second), crowds)


def promising(signed: Signatures, first: Rows, second: Rows, threshold: float) -> NDArray[np.bool_]:
    """Which of the pairs may reach the threshold, by how many entries of their signatures agree."""
    floor = threshold - _DEVIATIONS * math.sqrt(threshold * (1 - threshold) / PERMUTATIONS)
    found = np.zeros(first.size, dtype=bool)
    for start in range(0, first.size, _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        found[part] = (signed[first[part]] == signed[second[part]]).mean(axis=1) >= floor
    return found
