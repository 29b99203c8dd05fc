"""What is left between a corpus and a few texts: the rows that share most with each, and the highest similarity of all.

From the side of the few: only what of the corpus is in one of them is looked at. Which rows reach a threshold: similar.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from distil.curate import similar
from distil.curate.minhash import Rows
from distil.curate.shingles import Shingles

_TAIL = np.uint64(64 - 22)
_ROWS_AT_ONCE = 1_024


def overlaps(corpus: Sequence[Shingles], queries: Sequence[Shingles]) -> Iterator[tuple[Rows, NDArray[np.float64]]]:
    """For each query: the rows of the corpus that have something in common with it, ascending, and their Jaccard similarity."""
    sizes = np.array([item.size for item in corpus])
    keys, rows = _index(corpus, sizes, queries)
    for query in queries:
        left, right = np.searchsorted(keys, query, "left"), np.searchsorted(keys, query, "right")
        hits = [rows[a:b] for a, b in zip(left.tolist(), right.tolist(), strict=True) if b > a]
        common = np.bincount(np.concatenate(hits)) if hits else np.zeros(0, dtype=np.int64)
        others = np.flatnonzero(common)
        common = common[others]
        yield others, common / (sizes[others] + query.size - common)


def _index(corpus: Sequence[Shingles], sizes: Rows, queries: Sequence[Shingles]) -> tuple[Shingles, NDArray[np.int32]]:
    """The shingles of the corpus that are in a query, sorted, and the row of each: a small part of a large corpus."""
    tokens = np.unique(np.concatenate(queries)) if queries else np.zeros(0, dtype=np.uint64)
    known = np.zeros(1 << 22, dtype=bool)  # by the leading bits, which is faster than a search and rules out most
    known[tokens >> _TAIL] = True
    flat, owners = [tokens[:0]], [np.zeros(0, dtype=np.int32)]
    for start in range(0, len(corpus) if tokens.size else 0, _ROWS_AT_ONCE):
        part = np.concatenate(corpus[start : start + _ROWS_AT_ONCE])
        of_part = np.arange(start, min(start + _ROWS_AT_ONCE, len(sizes)), dtype=np.int32)
        owner = np.repeat(of_part, sizes[start : start + _ROWS_AT_ONCE])
        likely = np.flatnonzero(known[part >> _TAIL])
        at = tokens.searchsorted(part[likely])
        at[at == tokens.size] = 0
        shared = likely[tokens[at] == part[likely]]
        flat.append(part[shared])
        owners.append(owner[shared])
    keys, rows = np.concatenate(flat), np.concatenate(owners)
    order = np.argsort(keys, kind="stable")
    return keys[order], rows[order]


def closest_rows(corpus: Sequence[Shingles], queries: Sequence[Shingles], count: int, least: float) -> list[list[int]]:
    """For each query the rows of the corpus with the highest Jaccard similarity, at most `count`, each at least `least`."""
    found = []
    for others, similarity in overlaps(corpus, queries):
        near = np.flatnonzero(similarity >= least)
        best = near[np.argsort(-similarity[near], kind="stable")[:count]]
        found.append(others[best].tolist())
    return found


def highest_similarity(corpus: Sequence[Shingles], queries: Sequence[Shingles]) -> float:
    """The highest similarity of any text with any query.

    With more than similar.EXACT_CELLS comparisons it is that of the pairs that MinHash-LSH finds; 0.3 stands for all below.
    """
    if len(corpus) * len(queries) <= similar.EXACT_CELLS:
        return max((float(found.max(initial=0.0)) for _, found in overlaps(corpus, queries)), default=0.0)
    for floor in (0.85, 0.7, 0.5, 0.3):
        highest = float(similar.reach(corpus, queries, floor, best=True).similarity.max(initial=0.0))
        if highest >= floor:
            return highest
    return 0.3
