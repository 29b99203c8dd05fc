"""Which rows belong together: union-find over indices, and the edges between rows.

An edge is a shared link (equal texts, one group, a turn in common; see links.py) or a pair of similar texts. Pure functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from distil.records import Split

Link = tuple[str, str]
"""(kind, key): rows with an equal link belong together. The kinds are those of WORDS."""
WORDS: Mapping[str, str] = {
    "text": "same text as",
    "group": "same group as",
    "document": "same document (in the system turn) as",
    "prefix": "same conversation as",
    "exchange": "a turn in common with",
    "answer": "a turn in common with",
    "written": "written by a teacher after",
}
"""How a link reads in the reason for a drop."""


class Item(NamedTuple):
    """One prompt, as the split sees it."""

    key: str
    """Stable id (the prompt's): the only input of the hash."""
    links: tuple[Link, ...] = ()
    """What it shares with others."""
    fixed: Split | None = None
    """The user's choice."""
    train_only: str | None = None
    """Why it is never held out; None = it may be."""


class Near(NamedTuple):
    """Two rows with similar texts."""

    first: int
    second: int
    words: str
    """`near-duplicate (0.91) of`: how it reads in the reason for a drop."""


class Components:
    """Union-find over indices, with path halving."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def find(self, index: int) -> int:
        """The representative of a row's component."""
        while self._parent[index] != index:
            self._parent[index] = self._parent[self._parent[index]]
            index = self._parent[index]
        return index

    def join(self, a: int, b: int) -> None:
        """Makes the components of two rows one."""
        self._parent[self.find(a)] = self.find(b)

    def members(self, indices: Iterable[int]) -> list[list[int]]:
        """The components of the given rows."""
        components: dict[int, list[int]] = {}
        for index in indices:
            components.setdefault(self.find(index), []).append(index)
        return list(components.values())


class Edges:
    """All edges between the rows: links as buckets of rows, similar texts as pairs."""

    def __init__(self, items: Sequence[Item], pairs: Sequence[Near]) -> None:
        self.buckets: dict[Link, list[int]] = {}
        for index, item in enumerate(items):
            for link in item.links:
                self.buckets.setdefault(link, []).append(index)
        self.buckets = {link: rows for link, rows in self.buckets.items() if len(rows) > 1}
        self.pairs = list(pairs)

    def components(self, rows: Sequence[int], count: int) -> list[list[int]]:
        """The components of some of `count` rows, by the links among them and the similar texts, also through other rows.

        The pairs are a forest: which of several similar rows holds the others together depends on their order, what belongs
        together does not.
        """
        inside = [False] * count
        for row in rows:
            inside[row] = True
        joined = Components(count)
        for bucket in self.buckets.values():
            members = [row for row in bucket if inside[row]]
            for row in members[1:]:
                joined.join(row, members[0])
        for pair in self.pairs:
            joined.join(pair.first, pair.second)
        return joined.members(rows)

    def touched_by(self, rows: Iterable[int], count: int) -> set[int]:
        """The rows among `count` that share a link with one of the given rows, or belong to the same similar texts.

        As in `components` through other rows, too: which of the pairs there are depends on the order of the rows.
        """
        given = set(rows)
        found = {row for bucket in self.buckets.values() if not given.isdisjoint(bucket) for row in bucket}
        joined = Components(count)
        for pair in self.pairs:
            joined.join(pair.first, pair.second)
        heaps = {joined.find(row) for row in given}
        return found | {row for row in range(count) if joined.find(row) in heaps}

    def across(self, inside: Sequence[bool]) -> Iterator[tuple[int, int, str]]:
        """(row outside, row inside, how they belong together) for every edge between the given rows and the others."""
        for (kind, _), bucket in self.buckets.items():
            within = next((row for row in bucket if inside[row]), None)
            if within is not None:
                yield from ((row, within, WORDS[kind]) for row in bucket if not inside[row])
        for pair in self.pairs:
            if inside[pair.first] != inside[pair.second]:
                outer, inner = (pair.second, pair.first) if inside[pair.first] else (pair.first, pair.second)
                yield outer, inner, pair.words
