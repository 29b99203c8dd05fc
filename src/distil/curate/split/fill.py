"""New components draw their side: test in the order of a seeded hash until it is full, validation by a second hash.

A component's hash is that of its smallest key. A new component moves no other one: what has a side never comes here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from distil.curate.split.components import Item
from distil.ids import stable_hash
from distil.records import Split

LARGEST_TEST_SHARE = 1 / 3  # of the rows, so that a small project has something left to train on


class Sizes(NamedTuple):
    """What the split should look like."""

    test: int
    """Test rows that are wanted."""
    validation: float
    """Share of the others that becomes validation."""
    seed: int
    """Of the hashes."""
    closed: bool = False
    """The test side takes no new rows."""
    coming: int = 0
    """Rows beside these that are only trained on, there or still to come (`distil collect --active`): there is room for tests."""


def fill(
    items: Sequence[Item], members: Sequence[list[int]], splits: list[Split | None], sizes: Sizes, *, fixed: set[str]
) -> list[str]:
    """Gives each of the new components a side, in `splits`, and returns notes for a person.

    fixed: the held-out sides whose rows the user names in the prompts file; nothing is drawn for them.
    """
    old = {side: sum(split == side for split in splits) for side in ("train", "validation", "test")}
    total = (
        sizes.coming
        + sum(map(len, members))
        + sum(
            side is not None and item.fixed not in ("test", "validation") and item.train_only is None
            for side, item in zip(splits, items, strict=True)
        )
    )
    open_test = sizes.test if "test" not in fixed and not sizes.closed else 0
    open_test = min(open_test, int(total * LARGEST_TEST_SHARE))
    open_validation = sizes.validation if "validation" not in fixed else 0.0
    capacity, remaining = max(0, open_test - (old["test"] if "test" not in fixed else 0)), []
    for component in sorted(members, key=lambda c: _order(items, c, sizes.seed, "test")):
        if len(component) <= capacity and not any(items[i].fixed == "train" for i in component):
            _set(splits, component, "test")
            capacity -= len(component)
        else:
            remaining.append(component)
    taken = sum(split == "test" for split in splits) if "test" not in fixed else 0
    notes = [] if sizes.closed else _test_notes(sizes.test, open_test, taken, total, kept=old["test"])
    # one huge component must not take all training data with it
    budget = open_validation * (sum(map(len, remaining)) + old["train"] + old["validation"]) * 2
    fitting = [c for c in remaining if len(c) <= budget]
    chosen = [c for c in fitting if _order(items, c, sizes.seed, "validation") < open_validation]
    if not chosen and not old["validation"] and open_validation:
        chosen = _smallest(items, remaining, sizes.seed, others=old["train"])
    for component in remaining:
        _set(splits, component, "train")
    for component in chosen:
        _set(splits, component, "validation")
    too_large = [len(c) for c in remaining if len(c) > max(1, open_test, budget)]
    if too_large and (open_test or open_validation):
        notes.append(
            f"{max(too_large)} prompts are linked by group, shared turns or similarity, more than validation or test can take: "
            "all of them are in train. Use smaller groups, or raise curate.near_duplicates."
        )
    if open_validation and not any(split == "validation" for split in splits):
        notes.append("validation is empty: too few independent prompts")
    return notes


def _test_notes(wanted: int, possible: int, taken: int, total: int, *, kept: int) -> list[str]:
    """Notes about a test split that was cut from the free rows and is smaller or larger than wanted."""
    if possible and not taken:
        return [
            "test is empty: no answered prompt is free to be held out (the prompts file marks them as train, or they are all "
            "linked)"
        ]
    if kept and taken != wanted and taken != possible:
        joined = "new ones that belong to a test prompt join it" if taken > wanted else "only new ones are drawn"
        return [
            f"test has {taken} prompts, not {wanted}: prompts keep the side that they have, and {joined}. "
            "`--set curate.seed=N` draws all of them again; evaluate.limit evaluates on fewer."
        ]
    if taken and possible < wanted:
        return [
            f"test has {taken} of {total} prompts, not {wanted}: at most a third, so that some are left to train on"
        ]
    return []


def _smallest(items: Sequence[Item], remaining: list[list[int]], seed: int, *, others: int) -> list[list[int]]:
    """With very few components the hash may choose none: then the smallest one, if something is left for training."""
    if not remaining or (len(remaining) < 2 and not others):
        return []
    return [min(remaining, key=lambda c: (len(c), _order(items, c, seed, "validation")))]


def _order(items: Sequence[Item], component: Sequence[int], seed: int, purpose: str) -> float:
    """The component's hash: that of its smallest key, because the smallest hash would favor large components."""
    return stable_hash(seed, purpose, min(items[i].key for i in component))


def _set(splits: list[Split | None], component: Sequence[int], split: Split) -> None:
    for index in component:
        splits[index] = split
