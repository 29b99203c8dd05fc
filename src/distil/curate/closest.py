"""What is left between a corpus and a few texts: the rows that share most with each, and the highest similarity of all.

From the side of the few: only what of the corpus is in one of them is looked at. Which rows reach a threshold: similar.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from distil.curate import similar
from distil.curate.minhash import Rows
from distil.curate.shingles import Shingles

_TAIL = np.uint64(64 - 22)
_ROWS_AT_ONCE, _ROWS_READ = 8_192, 512
"""Rows of an index, and rows whose shingles are looked at together."""


class Close(NamedTuple):
    """A row of the corpus that shares something with a query."""

    row: int
    similarity: float
    """Jaccard's, above 0."""


def closest_rows(corpus: Sequence[Shingles], queries: Sequence[Shingles], count: int) -> list[list[Close]]:
    """For each query the rows of the corpus with the highest similarity, at most `count`; of equal ones the first.

    Memory is for a part of the corpus at a time.
    """
    found: list[list[Close]] = [[] for _ in queries]
    tokens = np.unique(np.concatenate(queries)) if queries else np.zeros(0, dtype=np.uint64)
    known = np.zeros(1 << 22, dtype=bool)  # by the leading bits, which is faster than a search and rules out most
    known[tokens >> _TAIL] = True
    for start in range(0, len(corpus), _ROWS_AT_ONCE):
        part = corpus[start : start + _ROWS_AT_ONCE]
        for best, (rows, similarity) in zip(found, _overlaps(part, queries, tokens, known), strict=True):
            least = best[-1].similarity if len(best) == count else 0.0
            better = np.flatnonzero(similarity > least)
            if not better.size:
                continue
            order = better[np.argsort(-similarity[better], kind="stable")[:count]]
            best += map(Close, (start + rows[order]).tolist(), similarity[order].tolist())
            best.sort(key=lambda close: -close.similarity)  # stable: earlier parts stay first
            del best[count:]
    return found


def _overlaps(
    corpus: Sequence[Shingles], queries: Sequence[Shingles], tokens: Shingles, known: NDArray[np.bool_]
) -> Iterator[tuple[Rows, NDArray[np.float64]]]:
    """For each query: the rows of the corpus that have something in common with it, ascending, and their similarity.

    tokens: the shingles of all queries, sorted; known: their leading bits.
    """
    sizes = np.array([item.size for item in corpus])
    keys, rows = _index(corpus, sizes, tokens, known)
    for query in queries:
        left, right = np.searchsorted(keys, query, "left"), np.searchsorted(keys, query, "right")
        hits = [rows[a:b] for a, b in zip(left.tolist(), right.tolist(), strict=True) if b > a]
        common = np.bincount(np.concatenate(hits)) if hits else np.zeros(0, dtype=np.int64)
        others = np.flatnonzero(common)
        common = common[others]
        yield others, common / (sizes[others] + query.size - common)


def _index(
    corpus: Sequence[Shingles], sizes: Rows, tokens: Shingles, known: NDArray[np.bool_]
) -> tuple[Shingles, NDArray[np.int32]]:
    """The shingles of the corpus that are in a query, sorted, and the row of each: a small part of it."""
    if not tokens.size:
        return tokens, np.zeros(0, dtype=np.int32)
    flat, owners = [], []
    for start in range(0, len(corpus), _ROWS_READ):
        read = np.concatenate(corpus[start : start + _ROWS_READ])
        likely = np.flatnonzero(known[read >> _TAIL])
        at = tokens.searchsorted(read[likely])
        at[at == tokens.size] = 0
        shared = likely[tokens[at] == read[likely]]
        of_read = np.arange(start, min(start + _ROWS_READ, len(sizes)), dtype=np.int32)
        flat.append(read[shared])
        owners.append(np.repeat(of_read, sizes[start : start + _ROWS_READ])[shared])
    keys, rows = np.concatenate(flat), np.concatenate(owners)
    order = np.argsort(keys, kind="stable")
    return keys[order], rows[order]


def highest_similarity(corpus: Sequence[Shingles], queries: Sequence[Shingles]) -> float:
    """The highest similarity of any text with any query, where there are too many for `closest_rows` (similar.EXACT_CELLS).

    It is that of the pairs that MinHash-LSH finds; 0.3 stands for all below.
    """
    for floor in (0.85, 0.7, 0.5, 0.3):
        highest = float(similar.reach(corpus, queries, floor, best=True).similarity.max(initial=0.0))
        if highest >= floor:
            return highest
    return 0.3


def highest_of(closest: Sequence[Sequence[Close]]) -> float:
    """The highest similarity among what `closest_rows` found; 0 = nothing in common."""
    return max((close[0].similarity for close in closest if close), default=0.0)
