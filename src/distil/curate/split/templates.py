"""One template glues the data together: 300 prompts that differ in a city and a day are all near-duplicates of each other.

Whoever keeps them on one side can't test the template at all. So where near-duplicates alone would tie up more than a tenth of
the rows, what most of those rows share is left out, and they are compared by the part that differs. Rows with equal answers were
dropped before (select.py), so the part that differs is what decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from distil.curate.shingles import Shingles, without
from distil.curate.split.components import Components, Near

GLUED_SHARE = 0.1
"""Of all rows: a larger heap of near-duplicates is a template."""
GLUED_ROWS = 30
"""With fewer, it is kept together."""
SHARED = 0.5
"""A shingle in more than this share of the heap belongs to the template."""
ROUNDS = 4
"""A template inside a template (the same form in two languages) takes a round each."""


class Template(NamedTuple):
    """Rows that are near-duplicates of each other only because they were made from one form."""

    rows: int
    """How many."""
    example: int
    """One of them."""


def without_shared(sets: Sequence[Shingles], share: float = SHARED) -> list[Shingles]:
    """The shingles of each text that at most `share` of the texts have."""
    if not sets:
        return []
    distinct, counts = np.unique(np.concatenate(sets), return_counts=True)
    common = distinct[counts > share * len(sets)]
    return [without(s, common) for s in sets]


def largest_template(pairs: Sequence[Near], count: int) -> Template | None:
    """The largest heap of near-duplicates, where it is too large to be on one side."""
    heaps = _heaps(pairs, count)
    if not heaps:
        return None
    largest = max(heaps, key=len)
    return Template(len(largest), min(largest))


def split_templates(
    sets: Sequence[Shingles],
    near: float,
    pairs_of: Callable[[Sequence[Shingles], float], list[Near]],
    pairs: list[Near],
) -> tuple[list[Shingles], list[Near]]:
    """(shingles without what the templates share, the pairs that are near-duplicates by the rest). pairs: those of `sets`."""
    reduced = list(sets)
    for _ in range(ROUNDS):
        heaps = _heaps(pairs, len(reduced))
        if not heaps:
            break
        for heap in heaps:
            rest = without_shared([reduced[row] for row in heap])
            if all(less.size == reduced[row].size for less, row in zip(rest, heap, strict=True)):
                continue  # a chain without anything in common: it stays together
            for row, shingles in zip(heap, rest, strict=True):
                reduced[row] = shingles
            inside = set(heap)
            pairs = [pair for pair in pairs if pair.first not in inside]  # a heap has no pairs with rows outside
            pairs += [Near(heap[p.first], heap[p.second], p.words) for p in pairs_of(rest, near)]
    return reduced, pairs


def _heaps(pairs: Sequence[Near], count: int) -> list[list[int]]:
    """Components by near-duplicates alone that are more than a tenth of the rows."""
    joined = Components(count)
    for pair in pairs:
        joined.join(pair.first, pair.second)
    touched = sorted({row for pair in pairs for row in (pair.first, pair.second)})
    return [heap for heap in joined.members(touched) if len(heap) > max(GLUED_ROWS, GLUED_SHARE * count)]
