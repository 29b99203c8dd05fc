"""A split without leakage: rows that belong together are in one split, and a row is always assigned the same way.

Rows are joined (union-find) by group, by equal text and by near-duplicate prompts; whole components are then assigned by a
seeded hash. Rows that the user fixed as test or validation stay there, and others that are too close to one are dropped. A row
fixed as train is never in test; validation is cut from the training rows unless a fixed one is left. Pure functions over indices.

Stability: test takes the components with the smallest hashes, so a new independent row moves no other into test and at most
one out of it; validation takes those whose hash is below its share, so no row moves between train and validation. Larger
components, and a test split that a small project caps, can move a few more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from distil.curate.shingles import Shingles
from distil.curate.similar import near_pairs, nearest
from distil.records import Split

LARGEST_TEST_SHARE = 1 / 3  # of the free rows, so that a small project has something left to train on


class Item(NamedTuple):
    """One row, as the split sees it."""

    key: str
    """Stable id (the prompt's): the only input of the hash."""
    same: str
    """Equal for rows with equal text."""
    group: str | None
    """Rows of one group stay together."""
    fixed: Split | None
    """The user's choice."""


class Leak(NamedTuple):
    """A row dropped because it is too close to a held-out one."""

    row: int
    reason: str


class Assignment(NamedTuple):
    """The split."""

    splits: list[Split | None]
    """Per row; None = dropped as a leak."""
    leaks: list[Leak]
    components: int
    """Independent groups of rows that could be assigned."""
    largest: int
    """Rows in the largest of them."""
    notes: list[str]
    """Warnings for a person."""


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


def assign(
    items: Sequence[Item], sets: Sequence[Shingles], *, near: float | None, test: int, validation: float, seed: int
) -> Assignment:
    """Assigns every row to a split. sets: the prompts' shingles; near: None = only equal texts and groups are joined."""
    splits: list[Split | None] = [None] * len(items)
    leaks: dict[int, Leak] = {}
    for held_out in ("test", "validation"):
        for leak in _close_to_fixed(items, sets, held_out, near, leaks):
            leaks[leak.row] = leak
    free = []
    for index, item in enumerate(items):
        if index not in leaks:
            if item.fixed in ("test", "validation"):
                splits[index] = item.fixed
            else:
                free.append(index)
    members = _components(items, sets, free, near)
    notes = _fill(items, members, splits, test=test, validation=validation, seed=seed)
    if near is not None:
        for leak in _missed(items, sets, splits, near):
            leaks[leak.row] = leak
    return Assignment(splits, list(leaks.values()), len(members), max(map(len, members), default=0), notes)


def stable_hash(seed: int, purpose: str, key: str) -> float:
    """A number in [0, 1) that depends only on the arguments."""
    digest = hashlib.blake2b(f"{seed}:{purpose}:{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _close_to_fixed(
    items: Sequence[Item], sets: Sequence[Shingles], split: str, near: float | None, dropped: Collection[int]
) -> list[Leak]:
    """Rows outside a fixed held-out split that share a group, a text or most of their shingles with a row inside."""
    inside = [i for i, item in enumerate(items) if item.fixed == split and i not in dropped]
    protected = ("test",) if split == "validation" else ()
    outside = [i for i, item in enumerate(items) if item.fixed not in (split, *protected) and i not in dropped]
    if not inside:
        return []
    groups = {items[i].group: i for i in reversed(inside) if items[i].group is not None}
    texts = {items[i].same: i for i in reversed(inside)}
    closest = nearest([sets[i] for i in outside], [sets[i] for i in inside])
    leaks = []
    for position, index in enumerate(outside):
        item = items[index]
        if item.same in texts:
            leaks.append(Leak(index, f"same text as the {split} prompt {items[texts[item.same]].key}"))
        elif item.group in groups:
            leaks.append(Leak(index, f"same group as the {split} prompt {items[groups[item.group]].key}"))
        elif near is not None and closest.similarity[position] >= near:
            other = items[inside[closest.query[position]]].key
            leaks.append(
                Leak(index, f"near-duplicate ({closest.similarity[position]:.2f}) of the {split} prompt {other}")
            )
    return leaks


def _components(
    items: Sequence[Item], sets: Sequence[Shingles], free: Sequence[int], near: float | None
) -> list[list[int]]:
    components = Components(len(items))
    first: dict[tuple[str, str], int] = {}
    for index in free:
        item = items[index]
        links = [("same", item.same)] + ([("group", item.group)] if item.group is not None else [])
        for link in links:
            components.join(index, first.setdefault(link, index))
    if near is not None:
        for pair in near_pairs([sets[i] for i in free], near):
            components.join(free[pair.first], free[pair.second])
    return components.members(free)


def _fill(
    items: Sequence[Item],
    members: Sequence[list[int]],
    splits: list[Split | None],
    *,
    test: int,
    validation: float,
    seed: int,
) -> list[str]:
    """Assigns the free components: test in the order of the hash until it is full, validation by another hash. Returns notes."""
    notes = []
    total = sum(map(len, members))
    open_test = test if not any(split == "test" for split in splits) else 0
    open_test = min(open_test, int(total * LARGEST_TEST_SHARE))
    open_validation = validation if not any(split == "validation" for split in splits) else 0.0
    capacity, remaining = open_test, []
    for component in sorted(members, key=lambda c: _order(items, c, seed, "test")):
        if len(component) <= capacity and not any(items[i].fixed == "train" for i in component):
            _set(splits, component, "test")
            capacity -= len(component)
        else:
            remaining.append(component)
    notes += _test_notes(test, open_test, open_test - capacity, total)
    # one huge component must not take all training data with it
    budget = open_validation * sum(map(len, remaining)) * 2
    fitting = [c for c in remaining if len(c) <= budget]
    chosen = [c for c in fitting if _order(items, c, seed, "validation") < open_validation]
    chosen = chosen or _smallest(items, remaining, open_validation, seed)
    for component in remaining:
        _set(splits, component, "train")
    for component in chosen:
        _set(splits, component, "validation")
    too_large = [len(c) for c in remaining if len(c) > max(1, open_test, budget)]
    if too_large:
        notes.append(
            f"{max(too_large)} prompts are linked by group or similarity, more than validation or test can take: all of them "
            "are in train. Use smaller groups, or raise curate.near_duplicates."
        )
    if open_validation and not chosen:
        notes.append("validation is empty: too few independent prompts")
    return notes


def _test_notes(wanted: int, possible: int, taken: int, total: int) -> list[str]:
    """Notes about a test split that was cut from the free rows and is smaller than wanted."""
    if possible and not taken:
        return [
            "test is empty: no answered prompt is free to be held out (the prompts file marks them as train, or they are all "
            "linked)"
        ]
    if taken and possible < wanted:
        return [
            f"test has {taken} of {total} prompts, not {wanted}: at most a third, so that some are left to train on"
        ]
    return []


def _smallest(items: Sequence[Item], remaining: list[list[int]], validation: float, seed: int) -> list[list[int]]:
    """With very few components the hash may choose none: then the smallest one, if another is left for training."""
    if not validation or len(remaining) < 2:
        return []
    return [min(remaining, key=lambda c: (len(c), _order(items, c, seed, "validation")))]


def _missed(items: Sequence[Item], sets: Sequence[Shingles], splits: list[Split | None], near: float) -> list[Leak]:
    """Rows that LSH failed to join with a near-duplicate in a more protected split: the exact search finds all of them."""
    leaks = []
    for protected, others in (("test", ("train", "validation")), ("validation", ("train",))):
        inside = [i for i, split in enumerate(splits) if split == protected]
        outside = [i for i, split in enumerate(splits) if split in others and items[i].fixed != "validation"]
        closest = nearest([sets[i] for i in outside], [sets[i] for i in inside])
        for position, index in enumerate(outside):
            if closest.similarity[position] >= near:
                other = items[inside[closest.query[position]]].key
                reason = f"near-duplicate ({closest.similarity[position]:.2f}) of the {protected} prompt {other}"
                leaks.append(Leak(index, reason))
                splits[index] = None
    return leaks


def _order(items: Sequence[Item], component: Sequence[int], seed: int, purpose: str) -> float:
    """The component's hash: that of its smallest key, because the smallest hash would favor large components."""
    return stable_hash(seed, purpose, min(items[i].key for i in component))


def _set(splits: list[Split | None], component: Sequence[int], split: Split) -> None:
    for index in component:
        splits[index] = split
