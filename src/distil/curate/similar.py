"""Which texts are near-duplicates: MinHash-LSH proposes, exact Jaccard decides.

Shingles that more than half of the texts share are boilerplate (a prompt template, the keys of a JSON schema) and do not count;
otherwise all rows of a templated task would be duplicates of each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash

from distil.curate.shingles import Shingles, jaccard, shingles

PERMUTATIONS = 256
LSH_RECALL = 0.9995  # chance that a pair exactly at the threshold is proposed
BOILERPLATE_SHARE = 0.5
BOILERPLATE_MIN_TEXTS = 20  # with fewer texts, a share means nothing
_BOILERPLATE_SAMPLE = 5_000
_SEED = 42


class NearPair(NamedTuple):
    """The indices of two texts, and their Jaccard similarity."""

    first: int
    second: int
    similarity: float


def shingle_sets(texts: Sequence[str]) -> list[Shingles]:
    """The shingles of each text without the boilerplate that more than half of the texts share."""
    sets = [shingles(text) for text in texts]
    if len(sets) < BOILERPLATE_MIN_TEXTS:
        return sets
    # the sample is chosen by content, so that the order of the rows changes nothing
    sample = sets
    if len(sets) > _BOILERPLATE_SAMPLE:
        sample = sorted(sets, key=lambda s: int(s.min()) if s.size else 0)[:: len(sets) // _BOILERPLATE_SAMPLE]
    distinct, counts = np.unique(np.concatenate(sample), return_counts=True)
    boilerplate = distinct[counts > BOILERPLATE_SHARE * len(sample)]
    if boilerplate.size == 0:
        return sets
    return [np.setdiff1d(s, boilerplate, assume_unique=True) for s in sets]


def near_pairs(sets: Sequence[Shingles], threshold: float) -> list[NearPair]:
    """All pairs with Jaccard >= threshold that LSH proposes (a pair at the threshold is missed with chance 0.0005).

    Equal sets are compared once and paired with the first of them. Sorted by index.
    """
    first_of: dict[bytes, int] = {}
    pairs = []
    distinct = []
    for index, item in enumerate(sets):
        if item.size == 0:
            continue
        first = first_of.setdefault(item.tobytes(), index)
        if first == index:
            distinct.append(index)
        else:
            pairs.append(NearPair(first, index, 1.0))
    for a, b in _candidates([sets[i] for i in distinct], threshold):
        first, second = distinct[a], distinct[b]
        similarity = jaccard(sets[first], sets[second])
        if similarity >= threshold:
            pairs.append(NearPair(first, second, similarity))
    return sorted(pairs)


def _candidates(sets: Sequence[Shingles], threshold: float) -> set[tuple[int, int]]:
    """Pairs that share at least one band of their MinHash signatures and whose sizes allow the threshold."""
    if len(sets) < 2:
        return set()
    offsets = np.cumsum([0, *(s.size for s in sets)]).astype(np.uint64)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(np.concatenate(sets), offsets, PERMUTATIONS, _SEED)
    signatures = np.asarray(matrix.to_rows(), dtype=np.uint32)  # (texts, PERMUTATIONS)
    sizes = [s.size for s in sets]
    width = band_width(threshold)
    candidates: set[tuple[int, int]] = set()
    for start in range(0, PERMUTATIONS - width + 1, width):
        for bucket in _buckets(np.ascontiguousarray(signatures[:, start : start + width])):
            for position, a in enumerate(bucket):
                for b in bucket[position + 1 :]:
                    # |a ∩ b| <= min, |a ∪ b| >= max: a pair of too different sizes can't reach the threshold
                    if min(sizes[a], sizes[b]) >= threshold * max(sizes[a], sizes[b]):
                        candidates.add((a, b))
    return candidates


def _buckets(band: NDArray[np.uint32]) -> Iterator[list[int]]:
    """Groups of at least two rows that are equal in a band, each in ascending order."""
    keys = band.view(np.dtype((np.void, band.dtype.itemsize * band.shape[1]))).ravel()
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    order = np.argsort(inverse, kind="stable")
    ends = np.cumsum(counts)
    for end, count in zip(ends, counts, strict=True):
        if count > 1:
            yield order[end - count : end].tolist()


def band_width(threshold: float) -> int:
    """The largest number of rows per band at which the chance to propose a pair at t, 1 - (1 - t^rows)^bands, is LSH_RECALL."""
    for width in range(PERMUTATIONS, 1, -1):
        bands = PERMUTATIONS // width
        if 1 - (1 - threshold**width) ** bands >= LSH_RECALL:
            return width
    return 1


class Nearest(NamedTuple):
    """For each text of a corpus, the most similar query."""

    query: NDArray[np.int64]
    """(corpus,) index of the query; -1 = nothing in common with any."""
    similarity: NDArray[np.float64]
    """(corpus,) its Jaccard similarity."""


def nearest(corpus: Sequence[Shingles], queries: Sequence[Shingles]) -> Nearest:
    """Exact search by an inverted index over the queries: nothing is missed, unlike with LSH."""
    closest = np.full(len(corpus), -1, dtype=np.int64)
    best = np.zeros(len(corpus))
    if not queries or not corpus:
        return Nearest(closest, best)
    sizes = np.array([q.size for q in queries])
    flat = np.concatenate(queries)
    order = np.argsort(flat, kind="stable")
    keys, owners = flat[order], np.repeat(np.arange(len(queries)), sizes)[order]
    for row, item in enumerate(corpus):
        left, right = np.searchsorted(keys, item, "left"), np.searchsorted(keys, item, "right")
        hits = right - left
        if not hits.any():
            continue
        starts = np.repeat(left - np.concatenate(([0], np.cumsum(hits)[:-1])), hits)
        common = np.bincount(owners[starts + np.arange(hits.sum())], minlength=len(queries))  # (queries,)
        similarity = common / (sizes + item.size - common)
        closest[row] = int(similarity.argmax())
        best[row] = float(similarity[closest[row]])
    return Nearest(closest, best)
