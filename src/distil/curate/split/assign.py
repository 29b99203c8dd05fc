"""A split without leakage: rows that belong together are on one side, and a row that has a side keeps it.

Order of the rules: what the user fixed, what the split remembers, the side of the rows that a new one belongs to, a draw
(fill.py). Then whatever still belongs to a row on a more protected side (train < validation < test) is dropped with the reason;
no row ever changes its side to avoid that. Pure functions over indices; links.py says what belongs together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from distil.curate.shingles import Shingles
from distil.curate.similar import near_pairs, nearest
from distil.curate.split.components import Edges, Item, Near
from distil.curate.split.fill import Sizes, fill
from distil.curate.split.templates import Template, largest_template, split_templates
from distil.records import Split

HELD_OUT: tuple[Split, ...] = ("test", "validation")
"""The protected sides, the most protected one first."""
_RANK: Mapping[Split | None, int] = {None: -1, "train": 0, "validation": 1, "test": 2}


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
    template: Template | None
    """The largest heap of prompts that were made from one form and are split by the part that differs."""


def assign(
    items: Sequence[Item],
    sets: Sequence[Shingles],
    *,
    near: float | None,
    sizes: Sizes,
    remembered: Mapping[str, Split] | None = None,
    more: Sequence[Near] = (),
) -> Assignment:
    """Assigns every row to a side.

    sets: the prompts' shingles; near: their least similarity (None = only links join rows); remembered: the sides of before, by
    key; more: further pairs that belong together (meaning.py).
    """
    compared, pairs = list(sets), list(more)
    template = None
    if near is not None:
        alike = _near(compared, near)
        template = largest_template(alike, len(items))
        compared, alike = split_templates(compared, near, _near, alike)
        pairs += alike
    edges = Edges(items, pairs)
    splits: list[Split | None] = [_own(item, remembered or {}) for item in items]
    leaks = {i: Leak(i, str(item.train_only)) for i, item in enumerate(items) if _barred(item, remembered or {})}
    free = [
        i
        for i, item in enumerate(items)
        if item.fixed not in ("test", "validation") and item.train_only is None and i not in leaks
    ]
    components = edges.components(free, len(items))
    _join_the_old(edges, components, splits, items)
    fixed = {item.fixed for item in items if item.fixed in ("test", "validation")}
    new = [component for component in components if splits[component[0]] is None]
    notes = fill(items, new, splits, sizes, fixed={str(side) for side in fixed})
    for i, item in enumerate(items):
        if item.train_only is not None and i not in leaks:
            splits[i] = "train"
    for protected in HELD_OUT:  # one side whole before the next: a row that is dropped itself drops no other
        _drop_crossing(items, edges, splits, leaks, protected)
        if near is not None:
            _drop_missed(items, compared, splits, leaks, near, protected)
    for row in leaks:
        splits[row] = None
    largest = max(map(len, components), default=0)
    return Assignment(splits, sorted(leaks.values()), len(components), largest, notes, template)


def _near(sets: Sequence[Shingles], near: float) -> list[Near]:
    return [Near(p.first, p.second, f"near-duplicate ({p.similarity:.2f}) of") for p in near_pairs(sets, near)]


def _own(item: Item, remembered: Mapping[str, Split]) -> Split | None:
    """The side that a row has by itself: the user's choice, then what is remembered."""
    if item.fixed in ("test", "validation"):
        return item.fixed
    before = remembered.get(item.key)
    if item.train_only is not None or (item.fixed == "train" and before == "test"):
        return "train" if before is not None else None
    return before


def _barred(item: Item, remembered: Mapping[str, Split]) -> bool:
    """A row that may only be trained on, but was held out before: it is not moved to train."""
    return item.train_only is not None and remembered.get(item.key, "train") != "train"


def _join_the_old(
    edges: Edges, components: Sequence[list[int]], splits: list[Split | None], items: Sequence[Item]
) -> None:
    """New rows take the side of the old ones that they belong to.

    Where these have several sides, the least protected one: what then belongs to a more protected row, too, is dropped later.
    """
    written = [i for i, item in enumerate(items) if item.train_only is not None and splits[i] == "train"]
    touched = edges.touched_by(written, len(items)) if written else set()
    for component in components:
        sides = {splits[row] for row in component} - {None}
        if not sides and touched.intersection(component):
            sides = {"train"}  # a prompt after which a trained one was written
        if not sides:
            continue
        side = min(sides, key=lambda side: _RANK[side])
        for row in component:
            if splits[row] is None:
                fixed_train = (
                    items[row].fixed == "train" and side == "test"
                )  # dropped, because it belongs to a test prompt
                splits[row] = "train" if fixed_train else side


def _drop_crossing(
    items: Sequence[Item], edges: Edges, splits: list[Split | None], leaks: dict[int, Leak], protected: Split
) -> None:
    """Drops what belongs to a row on a more protected side."""
    inside = [split == protected and row not in leaks for row, split in enumerate(splits)]
    for outer, inner, words in edges.across(inside):
        if outer not in leaks and _RANK[splits[outer]] < _RANK[protected]:
            leaks[outer] = Leak(outer, f"{words} the {protected} prompt {items[inner].key}")


def _drop_missed(
    items: Sequence[Item],
    sets: Sequence[Shingles],
    splits: list[Split | None],
    leaks: dict[int, Leak],
    near: float,
    protected: Split,
) -> None:
    """Rows with a near-duplicate on a more protected side that the pairs, which only link rows, do not hold."""
    inside = [i for i, split in enumerate(splits) if split == protected and i not in leaks]
    outside = [i for i, split in enumerate(splits) if _RANK[split] < _RANK[protected] and i not in leaks]
    closest = nearest([sets[i] for i in outside], [sets[i] for i in inside], near)
    for position, index in enumerate(outside):
        if closest.similarity[position] >= near:
            other = items[inside[closest.query[position]]].key
            reason = f"near-duplicate ({closest.similarity[position]:.2f}) of the {protected} prompt {other}"
            leaks[index] = Leak(index, reason)
