"""A subset of texts that stands for all of them, and topics: on vectors of words or of meaning. Deterministic.

The subset maximizes how similar each text is to the nearest one that is picked (facility location: Lin and Bilmes, ACL 2011),
by stochastic greedy search (Mirzasoleiman et al., AAAI 2015), which is near the best greedy one at a cost that does not grow with
the subset. Unlike the farthest points, which are the odd ones, it covers what is frequent first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from distil.curate.shingles import Shingles

DIMENSIONS = 256
BLOCK = 4_000
"""Texts that are compared with each other at once; more are dealt into blocks, each of which gives its part."""
_MISSED = 0.05  # of the greedy value that stochastic greedy may lose in expectation
_ROWS_AT_ONCE = 2_000
_MOST_TOPICS = 200
_ROUNDS = 10

Vectors = npt.NDArray[np.float32]


def text_vectors(sets: Sequence[Shingles]) -> Vectors:
    """(texts, 256) unit vectors of the texts' shingles, rare ones weighted more (idf), in signed random buckets.

    Their inner products estimate the cosine of tf-idf vectors (feature hashing: Weinberger et al., ICML 2009).
    """
    sizes = np.array([item.size for item in sets])
    flat = np.sort(np.concatenate(sets)) if sizes.sum() else np.zeros(0, dtype=np.uint64)
    starts = np.flatnonzero(np.concatenate(([True], flat[1:] != flat[:-1])))[: flat.size]
    known = flat[starts]
    weights = np.log((1 + len(sets)) / np.diff(np.append(starts, flat.size)))
    made = np.zeros((len(sets), DIMENSIONS), dtype=np.float32)
    for start in range(0, len(sets), _ROWS_AT_ONCE):
        part = sets[start : start + _ROWS_AT_ONCE]
        tokens = np.concatenate(part)
        values = weights[known.searchsorted(tokens)] * np.where(tokens >> np.uint64(63), 1.0, -1.0)
        owners = np.repeat(np.arange(len(part)), sizes[start : start + len(part)])
        cells = owners * DIMENSIONS + (tokens & np.uint64(DIMENSIONS - 1)).astype(np.int64)
        sums = np.bincount(cells, values, minlength=len(part) * DIMENSIONS)
        made[start : start + len(part)] = sums.reshape(len(part), DIMENSIONS)
    norms = np.linalg.norm(made, axis=1, keepdims=True)
    return np.asarray(made / np.maximum(norms, 1e-12), dtype=np.float32)


def pick(vectors: Vectors, count: int, seed: int) -> npt.NDArray[np.int64]:
    """The positions of `count` rows that cover the others best, ascending. vectors: (rows, dimensions), of unit length."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(vectors))
    blocks = np.array_split(order, math.ceil(len(vectors) / BLOCK)) if len(vectors) else []
    picked: list[int] = []
    for number, block in enumerate(blocks):
        wanted = round(count * (number + 1) / len(blocks)) - len(picked)
        if 2 * count <= BLOCK and len(blocks) > 1:
            wanted = min(block.size, math.ceil(2 * count / len(blocks)))  # and a second round among those
        picked += block[_greedy(vectors[block], wanted, rng)].tolist()
    if len(picked) > count:
        again = np.array(picked)
        picked = again[_greedy(vectors[again], count, rng)].tolist()
    return np.sort(np.array(picked, dtype=np.int64))


def _greedy(vectors: Vectors, count: int, rng: np.random.Generator) -> list[int]:
    """Step by step, of a few random rows the one that brings all rows closest to a picked one."""
    total = len(vectors)
    similarity = vectors @ vectors.T  # (rows, rows)
    left = rng.permutation(total)
    best = np.full(total, -1.0, dtype=np.float32)
    picked: list[int] = []
    tried = max(1, math.ceil(total / max(count, 1) * math.log(1 / _MISSED)))
    for step in range(min(count, total)):
        at = rng.integers(step, total, size=min(tried, total - step))
        gains = np.maximum(similarity[left[at]] - best, 0).sum(axis=1)
        place = int(at[int(gains.argmax())])
        row = int(left[place])
        left[place], left[step] = left[step], row
        best = np.maximum(best, similarity[row])
        picked.append(row)
    return picked


def topics(vectors: Vectors, seed: int) -> npt.NDArray[np.int64]:
    """(rows,) the topic of each row: spherical k-means with the square root of half the rows as k, at most 200.

    It starts from rows far from each other (k-means++: Arthur and Vassilvitskii, SODA 2007), so that small topics have a center.
    """
    count = _topic_count(len(vectors))
    centers = _far_apart(vectors, count, np.random.default_rng(seed))
    found = np.zeros(len(vectors), dtype=np.int64)
    for _ in range(_ROUNDS):
        before = found
        found = np.concatenate(
            [
                (vectors[at : at + _ROWS_AT_ONCE] @ centers.T).argmax(axis=1)
                for at in range(0, len(vectors), _ROWS_AT_ONCE)
            ]
        )
        if np.array_equal(found, before):
            break
        for topic in np.unique(found):
            center = vectors[found == topic].sum(axis=0)
            centers[topic] = center / max(float(np.linalg.norm(center)), 1e-12)
    return found


def _topic_count(rows: int) -> int:
    return max(1, min(_MOST_TOPICS, round(math.sqrt(rows / 2))))


def _far_apart(vectors: Vectors, count: int, rng: np.random.Generator) -> Vectors:
    chosen = [int(rng.integers(len(vectors)))]
    distance = np.full(len(vectors), np.inf)
    while len(chosen) < count:
        distance = np.minimum(distance, np.maximum(1.0 - vectors @ vectors[chosen[-1]], 0.0))
        total = float(distance.sum())
        if total < 1e-6:  # all rows are copies of those
            break
        chosen.append(int(np.searchsorted(np.cumsum(distance), rng.random() * total)))
    return np.array(vectors[chosen])
