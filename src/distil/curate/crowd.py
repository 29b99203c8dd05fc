"""Near-duplicates among many rows that share most of their text, such as those of one template.

In such a crowd nearly every pair is a candidate, and comparing them all takes time in the square of the rows. What the rows
share cancels out: with D = S xor core, where the core is what most of the rows have, |Si xor Sj| = |Di xor Dj|. The Ds are short,
so two rows are either close to everything typical (one comparison with the most typical row joins those), or they must share one
of the rarest elements of their Ds: the prefix filter of Chaudhuri, Ganti and Kaushik (ICDE 2006). Exact, given the candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from distil.curate.minhash import Rows
from distil.curate.shingles import Shingles, without

_ROUNDING = 1e-9
_CELLS_AT_ONCE = 20_000_000


class Wanted(Protocol):
    """What the caller still wants to know."""

    def anchors(self, rows: Rows) -> NDArray[np.bool_]:
        """Which of the rows may stand for the typical one."""

    def open(self, row: int, others: Rows) -> NDArray[np.bool_]:
        """Which of the others it still matters to compare with a row."""

    def found(self, row: int, others: Rows, similarities: NDArray[np.float64]) -> None:
        """Takes the pairs that reach the threshold."""

    def settled(self, rows: Rows) -> bool:
        """Whether no pair among the rows matters."""


def join_crowd(sets: Sequence[Shingles], rows: Rows, threshold: float, wanted: Wanted) -> None:
    """Tells `wanted` of the pairs among the rows with Jaccard >= threshold, as long as they matter to it."""
    if wanted.settled(rows):
        return
    crowd = Crowd([sets[row] for row in rows])
    slack = crowd.sizes - crowd.set_sizes * (1 - threshold) / (1 + threshold)
    may = np.flatnonzero(wanted.anchors(rows))
    anchor = int(may[np.argmin(slack[may])])
    _compare(crowd, anchor, np.arange(rows.size), rows, threshold, wanted)
    # |Di xor Dj| <= k (si + sj) with k = (1 - t) / (1 + t), so that Di and Dj share at least (slack_i + slack_j) / 2 elements;
    # where that is not positive the anchor, whose slack is the least, has just been found to be near both
    shared = np.maximum(1, np.ceil((slack + slack.min()) / 2 - _ROUNDING)).astype(np.int64)
    for group in crowd.postings(crowd.sizes - shared + 1):
        if wanted.settled(rows[group]):
            continue
        for position in range(group.size - 1):
            _compare(crowd, int(group[position]), group[position + 1 :], rows, threshold, wanted)


def _compare(crowd: Crowd, one: int, others: Rows, rows: Rows, threshold: float, wanted: Wanted) -> None:
    """One row with several others, by position in the crowd."""
    others = others[others != one]
    others = others[wanted.open(int(rows[one]), rows[others])]
    if not others.size:
        return
    similarity = crowd.similarity(one, others)
    near = similarity >= threshold
    if near.any():
        wanted.found(int(rows[one]), rows[others[near]], similarity[near])


class Crowd:
    """Sets by what sets them apart: of each, what it has and the core lacks, and what the core has and it lacks."""

    def __init__(self, sets: Sequence[Shingles]) -> None:
        count = len(sets)
        self._sets = sets
        self.set_sizes = np.array([s.size for s in sets])
        flat = np.concatenate(sets)
        owners = np.repeat(np.arange(count), self.set_sizes)
        order = np.argsort(flat, kind="stable")
        new = np.concatenate(([True], flat[order][1:] != flat[order][:-1]))
        tokens = np.empty(flat.size, dtype=np.int64)
        tokens[order] = np.cumsum(new) - 1
        frequency = np.bincount(tokens)
        in_core = 2 * frequency > count
        self._core = flat[order][new][in_core]
        of_core = in_core[tokens]
        lacking, lacked = _lacking(owners[of_core], tokens[of_core], np.flatnonzero(in_core), count)
        token = np.concatenate((tokens[~of_core], lacked))
        owner = np.concatenate((owners[~of_core], lacking))
        frequency = np.bincount(token, minlength=frequency.size)
        # within a row the rarest come first: rank = order by (frequency, token)
        rank = np.empty(frequency.size, dtype=np.int64)
        rank[np.lexsort((np.arange(frequency.size), frequency))] = np.arange(frequency.size)
        order = np.lexsort((rank[token], owner))
        self._ranks, self._owners = rank[token][order], owner[order]
        self.sizes = np.bincount(owner, minlength=count)
        self._starts = np.concatenate(([0], np.cumsum(self.sizes)))
        self._marked = np.zeros(frequency.size, dtype=bool)

    def similarity(self, one: int, others: Rows) -> NDArray[np.float64]:
        """The Jaccard similarity of a whole set with others: |Si xor Sj| = |Di| + |Dj| - 2 |Di and Dj|."""
        if not others.size:
            return np.zeros(0)
        mine = self._ranks[self._starts[one] : self._starts[one + 1]]
        self._marked[mine] = True
        lengths = self.sizes[others]
        ends = np.cumsum(lengths)
        at = np.repeat(self._starts[others] - (ends - lengths), lengths) + np.arange(ends[-1])
        hits = np.concatenate(([0], np.cumsum(self._marked[self._ranks[at]])))
        common = hits[ends] - hits[ends - lengths]
        self._marked[mine] = False
        apart = lengths + mine.size - 2 * common
        total = self.set_sizes[others] + self.set_sizes[one]
        return np.asarray((total - apart) / (total + apart))

    def outside_core(self) -> list[Shingles]:
        """Each set without the core."""
        return [without(item, self._core) for item in self._sets]

    def postings(self, prefix: NDArray[np.int64]) -> list[Rows]:
        """The rows that have an element among their `prefix` rarest ones, for each such element, the rarest first."""
        positions = np.arange(self._ranks.size) - np.repeat(self._starts[:-1], self.sizes)
        inside = positions < np.repeat(prefix, self.sizes)
        ranks, owners = self._ranks[inside], self._owners[inside]
        order = np.argsort(ranks, kind="stable")
        ranks, owners = ranks[order], owners[order]
        cuts = np.flatnonzero(ranks[1:] != ranks[:-1]) + 1
        return [group for group in np.split(owners, cuts) if group.size > 1]


def _lacking(owners: Rows, tokens: Rows, core: Rows, count: int) -> tuple[Rows, Rows]:
    """(row, token) of each element of the core that a row lacks; owners, tokens: those that the rows have, by row."""
    if not core.size:
        return core, core
    rows, lacked = [], []
    place = np.searchsorted(core, tokens)
    step = max(1, _CELLS_AT_ONCE // core.size)
    for start in range(0, count, step):
        stop = min(start + step, count)
        left, right = np.searchsorted(owners, (start, stop))
        has = np.zeros((stop - start, core.size), dtype=bool)
        has[owners[left:right] - start, place[left:right]] = True
        row, column = np.nonzero(~has)
        rows.append(row + start)
        lacked.append(core[column])
    return np.concatenate(rows), np.concatenate(lacked)
