"""A split without leakage: rows that belong together lie on one side, and the same row always falls the same way.

Rows are joined (union-find) by group, by equal text and by near-duplicate prompts; whole components are then assigned by a
seeded hash. Rows that the user fixed as test or validation stay there, and others that are too close to one are dropped. A row
fixed as train is never in test; validation is cut from the training side unless a fixed one is left. Pure functions over
positions; called by stage.py.

Stability: test takes the components with the smallest hashes, so a new independent row moves no other into test and at most
one out of it; validation takes those whose own hash is below its share, so no row moves between train and validation. Larger
components and a test that a small project caps can move a few more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from distil.curate.similar import NearPair, near_pairs, nearest
from distil.curate.text import Shingles
from distil.records import Split

LARGEST_TEST_SHARE = 1 / 3  # of the rows that are free: a small project keeps something to train on


class Item(NamedTuple):
    """What the split needs to know of one row."""

    key: str
    """Stable id (the prompt's): the only thing that the hash sees."""
    same: str
    """Equal for rows with equal text."""
    group: str | None
    """Rows of one group stay together."""
    fixed: Split | None
    """The user's choice."""


class Leak(NamedTuple):
    """A row that had to go because it is too close to a held-out one."""

    row: int
    reason: str


class Assignment(NamedTuple):
    """The split."""

    sides: list[Split | None]
    """Per row; None = dropped as a leak."""
    leaks: list[Leak]
    components: int
    """Independent groups of rows that could be assigned."""
    largest: int
    """Rows in the largest of them."""
    notes: list[str]
    """Warnings for a person."""


class Components:
    """Union-find over positions, with path halving."""

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
        found: dict[int, list[int]] = {}
        for index in indices:
            found.setdefault(self.find(index), []).append(index)
        return list(found.values())


def assign(
    items: Sequence[Item],
    sets: Sequence[Shingles],
    *,
    near: float | None,
    test: int,
    validation: float,
    seed: int,
) -> Assignment:
    """Assigns every row to a side. `sets` are the prompts' shingles; `near` None = only equal texts and groups are joined."""
    sides: list[Split | None] = [None] * len(items)
    leaks: dict[int, Leak] = {}
    for held_out in ("test", "validation"):
        for leak in _close_to_fixed(items, sets, held_out, near, leaks):
            leaks[leak.row] = leak
    free = []
    for index, item in enumerate(items):
        if index not in leaks:
            if item.fixed in ("test", "validation"):
                sides[index] = item.fixed
            else:
                free.append(index)
    members = _components(items, sets, free, near)
    notes = _fill(items, members, sides, test=test, validation=validation, seed=seed)
    if near is not None:
        for leak in _missed(items, sets, sides, near):
            leaks[leak.row] = leak
    return Assignment(sides, list(leaks.values()), len(members), max(map(len, members), default=0), notes)


def stable_hash(seed: int, purpose: str, key: str) -> float:
    """A number in [0, 1) that depends on nothing but its arguments."""
    digest = hashlib.blake2b(f"{seed}:{purpose}:{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _close_to_fixed(
    items: Sequence[Item], sets: Sequence[Shingles], side: str, near: float | None, gone: dict[int, Leak]
) -> list[Leak]:
    """Rows outside a fixed held-out side that share a group, a text or most of their shingles with a row inside."""
    inside = [i for i, item in enumerate(items) if item.fixed == side and i not in gone]
    protected = ("test",) if side == "validation" else ()
    outside = [i for i, item in enumerate(items) if item.fixed not in (side, *protected) and i not in gone]
    if not inside:
        return []
    groups = {items[i].group: i for i in reversed(inside) if items[i].group is not None}
    texts = {items[i].same: i for i in reversed(inside)}
    found = nearest([sets[i] for i in outside], [sets[i] for i in inside])
    leaks = []
    for position, index in enumerate(outside):
        item = items[index]
        if item.same in texts:
            leaks.append(Leak(index, f"same text as the {side} prompt {items[texts[item.same]].key}"))
        elif item.group in groups:
            leaks.append(Leak(index, f"same group as the {side} prompt {items[groups[item.group]].key}"))
        elif near is not None and found.similarity[position] >= near:
            other = items[inside[found.query[position]]].key
            leaks.append(Leak(index, f"near-duplicate ({found.similarity[position]:.2f}) of the {side} prompt {other}"))
    return leaks


def _components(
    items: Sequence[Item], sets: Sequence[Shingles], free: Sequence[int], near: float | None
) -> list[list[int]]:
    joined = Components(len(items))
    first: dict[tuple[str, str], int] = {}
    for index in free:
        item = items[index]
        links = [("same", item.same)] + ([("group", item.group)] if item.group is not None else [])
        for link in links:
            joined.join(index, first.setdefault(link, index))
    if near is not None:
        pairs: list[NearPair] = near_pairs([sets[i] for i in free], near)
        for pair in pairs:
            joined.join(free[pair.first], free[pair.second])
    return joined.members(free)


def _fill(
    items: Sequence[Item],
    members: Sequence[list[int]],
    sides: list[Split | None],
    *,
    test: int,
    validation: float,
    seed: int,
) -> list[str]:
    """Writes the sides of the free components. Test in the order of the hash until it is full, validation by its own hash."""
    notes = []
    total = sum(map(len, members))
    open_test = test if not any(side == "test" for side in sides) else 0
    open_test = min(open_test, int(total * LARGEST_TEST_SHARE))
    open_validation = validation if not any(side == "validation" for side in sides) else 0.0
    left, rest = open_test, []
    for component in sorted(members, key=lambda c: _order(items, c, seed, "test")):
        if len(component) <= left and not any(items[i].fixed == "train" for i in component):
            _set(sides, component, "test")
            left -= len(component)
        else:
            rest.append(component)
    notes += _about_test(test, open_test, open_test - left, total)
    budget = open_validation * sum(map(len, rest)) * 2  # one huge component must not take all training data with it
    fitting = [c for c in rest if len(c) <= budget]
    chosen = [c for c in fitting if _order(items, c, seed, "validation") < open_validation]
    chosen = chosen or _smallest(items, rest, open_validation, seed)
    for component in rest:
        _set(sides, component, "train")
    for component in chosen:
        _set(sides, component, "validation")
    too_large = [len(c) for c in rest if len(c) > max(1, open_test, budget)]
    if too_large:
        notes.append(
            f"{max(too_large)} prompts hang together by group or similarity, more than any held-out side can take: they all "
            "lie in train. Give finer groups, or raise curate.near_duplicates."
        )
    if open_validation and not chosen:
        notes.append("validation is empty: too few independent prompts")
    return notes


def _about_test(wanted: int, possible: int, taken: int, total: int) -> list[str]:
    """What to know of a test side that was cut from the free rows and holds fewer than wanted."""
    if possible and not taken:
        return [
            "test is empty: nothing that was answered is free to be held out (the prompts file marks the rows as train, or they "
            "all hang together)"
        ]
    if taken and possible < wanted:
        return [
            f"test holds {taken} of {total} prompts, not {wanted}: a third at most, so that some are left to train on"
        ]
    return []


def _smallest(items: Sequence[Item], rest: list[list[int]], validation: float, seed: int) -> list[list[int]]:
    """With very few components the hash may choose none: then the first small one, when another is left for training."""
    if not validation or len(rest) < 2:
        return []
    return [min(rest, key=lambda c: (len(c), _order(items, c, seed, "validation")))]


def _missed(items: Sequence[Item], sets: Sequence[Shingles], sides: list[Split | None], near: float) -> list[Leak]:
    """Rows that LSH failed to join with a near-duplicate on a more protected side: the exact search finds all of them."""
    leaks = []
    for protected, others in (("test", ("train", "validation")), ("validation", ("train",))):
        inside = [i for i, side in enumerate(sides) if side == protected]
        outside = [i for i, side in enumerate(sides) if side in others and items[i].fixed != "validation"]
        found = nearest([sets[i] for i in outside], [sets[i] for i in inside])
        for position, index in enumerate(outside):
            if found.similarity[position] >= near:
                other = items[inside[found.query[position]]].key
                reason = f"near-duplicate ({found.similarity[position]:.2f}) of the {protected} prompt {other}"
                leaks.append(Leak(index, reason))
                sides[index] = None
    return leaks


def _order(items: Sequence[Item], component: Sequence[int], seed: int, purpose: str) -> float:
    """The component's hash: that of its smallest key, since the smallest hash would favor large components."""
    return stable_hash(seed, purpose, min(items[i].key for i in component))


def _set(sides: list[Split | None], component: Sequence[int], side: Split) -> None:
    for index in component:
        sides[index] = side
