"""Which texts are near-duplicates: MinHash-LSH proposes, exact Jaccard decides. Time is linear in the rows, also with templates.

Shingles that more than half of the texts share are boilerplate (a prompt template, the keys of a JSON schema) and do not count;
otherwise all rows of a templated task would be duplicates of each other. What a language repeats is not a template, though: where
what is shared is a small part of the texts, all of it counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from distil.curate.crowd import join_crowd
from distil.curate.minhash import Rows, bands, promising, signatures
from distil.curate.shingles import Shingles, jaccard, shingle_rows, without

BOILERPLATE_SHARE = 0.5
BOILERPLATE_MIN_TEXTS = 20  # with fewer texts, a share means nothing
BOILERPLATE_MIN_PART = 0.1  # of the typical text, to be a template
EXACT_CELLS = 50_000_000
"""Comparisons up to which `nearest` compares all with all: 250 queries with 200,000 texts."""
_BOILERPLATE_SAMPLE = 5_000
_ROWS_AT_ONCE = 500
_TABLE_BITS = 22


class NearPair(NamedTuple):
    """The indices of two texts, and their Jaccard similarity."""

    first: int
    second: int
    similarity: float


def shingle_sets(texts: Sequence[str]) -> list[Shingles]:
    """The shingles of each text without the boilerplate of a template that more than half of the texts share."""
    sets = shingle_rows(texts)
    if len(sets) < BOILERPLATE_MIN_TEXTS:
        return sets
    # the sample is chosen by content, so that the order of the rows changes nothing
    sample = sets
    if len(sets) > _BOILERPLATE_SAMPLE:
        sample = sorted(sets, key=lambda s: int(s[0]) if s.size else 0)[:: len(sets) // _BOILERPLATE_SAMPLE]
    flat = np.sort(np.concatenate(sample))
    starts = np.flatnonzero(np.concatenate(([True], flat[1:] != flat[:-1])))[: flat.size]
    boilerplate = flat[starts][np.diff(np.append(starts, flat.size)) > BOILERPLATE_SHARE * len(sample)]
    if boilerplate.size <= BOILERPLATE_MIN_PART * float(np.median([s.size for s in sample])):
        return sets
    return [without(s, boilerplate) for s in sets]


def near_pairs(sets: Sequence[Shingles], threshold: float, kinds: NDArray[np.uint64] | None = None) -> list[NearPair]:
    """Pairs with Jaccard >= threshold that link all such pairs: two texts are linked if and only if a chain of near pairs is.

    It is a forest, at most one pair less than texts, since a template of n rows has n * n near pairs. A pair at the threshold is
    missed with chance 0.0001, a pair at 0.9 with one in a million. kinds: only texts of equal kind are compared. Sorted by index.
    """
    forest = _Forest(len(sets))
    distinct = []
    first_of: dict[tuple[bytes, int], int] = {}
    for index, item in enumerate(sets):
        if item.size:
            content = hashlib.blake2b(item.tobytes(), digest_size=16).digest()
            first = first_of.setdefault((content, 0 if kinds is None else int(kinds[index])), index)
            if first == index:
                distinct.append(index)
            else:
                forest.found(first, np.array([index]), np.ones(1))
    del first_of
    if len(distinct) > 1:
        _propose(sets, np.array(distinct), threshold, forest, kinds)
    return sorted(forest.pairs)


def linked_rows(pairs: Sequence[NearPair]) -> list[Rows]:
    """The groups of rows that the pairs link, each in ascending order; a row without a pair is in none."""
    group_of: dict[int, list[int]] = {}
    for pair in pairs:
        small, large = sorted(
            (group_of.setdefault(pair.first, [pair.first]), group_of.setdefault(pair.second, [pair.second])), key=len
        )
        if small is not large:
            large += small
            group_of |= dict.fromkeys(small, large)
    groups = {id(group): group for group in group_of.values()}
    return [np.array(sorted(group)) for group in sorted(groups.values(), key=min)]


def _propose(
    sets: Sequence[Shingles],
    rows: Rows,
    threshold: float,
    wanted: _Forest | _Reach,
    kinds: NDArray[np.uint64] | None = None,
) -> None:
    """Tells `wanted` of the near pairs among the rows (of non-empty sets), band by band."""
    chosen = [sets[row] for row in rows]
    signed = signatures(chosen)
    sizes = np.array([s.size for s in chosen])
    for band in bands(signed, threshold, None if kinds is None else kinds[rows]):
        # |a and b| <= min, |a or b| >= max: a pair of too different sizes can't reach the threshold
        a, b = sizes[band.first], sizes[band.second]
        able = np.minimum(a, b) >= threshold * np.maximum(a, b)
        first, second = band.first[able], band.second[able]
        matters = wanted.matters(rows[first], rows[second])
        first, second = first[matters], second[matters]
        likely = promising(signed, first, second, threshold)
        for one, other in zip(rows[first[likely]].tolist(), rows[second[likely]].tolist(), strict=True):
            if not wanted.open(one, np.array([other]))[0]:
                continue
            similarity = jaccard(sets[one], sets[other])
            if similarity >= threshold:
                wanted.found(one, np.array([other]), np.array([similarity]))
        for crowd in band.crowds:
            join_crowd(sets, rows[crowd], threshold, wanted)


class _Forest:
    """Union-find over texts: a pair matters while its texts are not linked."""

    def __init__(self, count: int) -> None:
        self._parent = np.arange(count)
        self.pairs: list[NearPair] = []

    def _roots(self, rows: Rows) -> Rows:
        found = self._parent[rows]
        while True:
            above = self._parent[found]
            if np.array_equal(above, found):
                self._parent[rows] = found  # the next search is one step
                return found
            found = above

    def matters(self, first: Rows, second: Rows) -> NDArray[np.bool_]:
        """Which of the pairs would link something."""
        return np.asarray(self._roots(first) != self._roots(second))

    def anchors(self, rows: Rows) -> NDArray[np.bool_]:
        """Any row may stand for the typical one."""
        return np.ones(rows.size, dtype=bool)

    def open(self, row: int, others: Rows) -> NDArray[np.bool_]:
        """Which of the others are not linked with a row."""
        return self.matters(np.array([row]), others)

    def settled(self, rows: Rows) -> bool:
        """Whether all rows are linked."""
        roots = self._roots(rows)
        return bool((roots == roots[0]).all())

    def found(self, row: int, others: Rows, similarities: NDArray[np.float64]) -> None:
        """Links a row with others."""
        for other, similarity in zip(others.tolist(), similarities.tolist(), strict=True):
            one, two = self._roots(np.array([row, other])).tolist()
            if one != two:
                self._parent[max(one, two)] = min(one, two)
                self.pairs.append(NearPair(min(row, other), max(row, other), similarity))


class Nearest(NamedTuple):
    """For each text of a corpus, the most similar query."""

    query: NDArray[np.int64]
    """(corpus,) index of the query; -1 = nothing in common with any."""
    similarity: NDArray[np.float64]
    """(corpus,) its Jaccard similarity."""


def nearest(corpus: Sequence[Shingles], queries: Sequence[Shingles], at_least: float = 0.0) -> Nearest:
    """The most similar query of each text, exactly, by an inverted index over the queries.

    at_least: a text without a query that is so similar may get none. With it, more than EXACT_CELLS comparisons are left to
    MinHash-LSH, in linear time: it finds one of the queries that are at least so similar (see `near_pairs` for the chance that it
    misses a single one).
    """
    if at_least > 0 and len(corpus) * len(queries) > EXACT_CELLS:
        return reach(corpus, queries, at_least)
    closest = np.full(len(corpus), -1, dtype=np.int64)
    best = np.zeros(len(corpus))
    sizes = np.array([q.size for q in queries])
    if not sizes.sum():
        return Nearest(closest, best)
    flat = np.concatenate(queries)
    order = np.argsort(flat, kind="stable")
    keys, owners = flat[order], np.repeat(np.arange(len(queries)), sizes)[order]
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    tokens, counts = keys[starts], np.diff(np.append(starts, keys.size))
    for row in _able(corpus, tokens, at_least):
        item = corpus[row]
        at = tokens.searchsorted(item)
        at[at == tokens.size] = 0
        at = at[tokens[at] == item]
        if not at.size:
            continue
        hits = counts[at]
        ends = np.cumsum(hits)
        common = np.bincount(owners[np.repeat(starts[at] - (ends - hits), hits) + np.arange(ends[-1])])
        similarity = common / (sizes[: common.size] + item.size - common)  # (queries up to the last with a hit,)
        closest[row] = int(similarity.argmax())
        best[row] = float(similarity[closest[row]])
    return Nearest(closest, best)


def _able(corpus: Sequence[Shingles], tokens: Shingles, at_least: float) -> Iterator[int]:
    """The texts of which a share `at_least` is somewhere in the queries: the others can't have so much in common with one."""
    if at_least == 0:
        yield from (row for row, item in enumerate(corpus) if item.size)
        return
    known = np.zeros(1 << _TABLE_BITS, dtype=bool)  # by the leading bits: what it lacks is in no query
    known[tokens >> np.uint64(64 - _TABLE_BITS)] = True
    rows = [row for row, item in enumerate(corpus) if item.size]
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        part = rows[start : start + _ROWS_AT_ONCE]
        sizes = np.array([corpus[row].size for row in part])
        hits = known[np.concatenate([corpus[row] for row in part]) >> np.uint64(64 - _TABLE_BITS)]
        common = np.add.reduceat(hits, np.cumsum(sizes) - sizes, dtype=np.int64)
        yield from np.array(part)[common >= at_least * sizes].tolist()


def reach(corpus: Sequence[Shingles], queries: Sequence[Shingles], threshold: float, *, best: bool = False) -> Nearest:
    """A query of each text that is at least so similar, by MinHash-LSH; with `best` the most similar of those found."""
    both = [*corpus, *queries]
    wanted = _Reach(len(corpus), len(queries), best)
    _propose(both, np.array([i for i, item in enumerate(both) if item.size], dtype=np.int64), threshold, wanted)
    return Nearest(wanted.query, wanted.similarity)


class _Reach:
    """Texts of a corpus (the first indices) and queries: a pair matters while its text has no near query, or always (`best`)."""

    def __init__(self, corpus: int, queries: int, best: bool) -> None:
        self._corpus, self._best = corpus, best
        self.query = np.full(corpus, -1, dtype=np.int64)
        self.similarity = np.zeros(corpus)
        self._done = np.zeros(corpus + queries, dtype=bool)

    def matters(self, first: Rows, second: Rows) -> NDArray[np.bool_]:
        """Which of the pairs are a text without a query and a query."""
        crossing = (first < self._corpus) != (second < self._corpus)
        return np.asarray(crossing & ~self._done[first] & ~self._done[second])

    def anchors(self, rows: Rows) -> NDArray[np.bool_]:
        """Queries: whatever is certain to be near some query is near the most typical one."""
        return np.asarray(rows >= self._corpus)

    def open(self, row: int, others: Rows) -> NDArray[np.bool_]:
        """Which of the others would be news."""
        return self.matters(np.full(others.size, row), others)

    def settled(self, rows: Rows) -> bool:
        """Whether the rows are all of one side, or all texts have their query."""
        texts = rows[rows < self._corpus]
        return texts.size == rows.size or bool(self._done[texts].all())

    def found(self, row: int, others: Rows, similarities: NDArray[np.float64]) -> None:
        """Keeps the most similar query of each text."""
        for other, similarity in zip(others.tolist(), similarities.tolist(), strict=True):
            text, query = min(row, other), max(row, other) - self._corpus
            if similarity > self.similarity[text]:
                self.query[text], self.similarity[text] = query, similarity
            self._done[text] = not self._best
