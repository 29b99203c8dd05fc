"""How many prompts each round asks: the first one also those that will be held out, because only it is random."""

from __future__ import annotations

import math
from typing import NamedTuple

from distil.errors import UserError

ROUNDS = 4
"""Where nobody says how many."""
LEAST = 10
"""Training prompts of a round."""
LEAST_VALIDATION = 16
"""Validation prompts from the first round: with fewer, nobody could tell whether uncertainty finds errors."""
LEAST_ROWS = 8
"""Training rows and validation prompts that a student can be made and measured with."""
LARGEST_TEST_SHARE = 3
"""A test set takes a third of all prompts at most, as in curate."""


class Wanted(NamedTuple):
    """What the rounds together should give."""

    limit: int
    """Prompts to ask in all rounds."""
    rounds: int
    marked: int
    """Of those, prompts that the user's file marks as test or validation: all of them are asked in the first round."""
    test: int
    """Further test prompts that are wanted."""
    validation: float
    """Share of the rest of the first round that becomes validation; 0 = the user's file has validation prompts."""
    validated: int = 0
    """Validation prompts that are there already."""


def sizes(wanted: Wanted) -> list[int]:
    """Prompts to ask in each round: equally many to train on, and in the first one those to hold out on top.

    Raises UserError where a round would have next to nothing to train on.
    """
    free = wanted.limit - wanted.marked
    test = max(0, min(wanted.test, free // LARGEST_TEST_SHARE))
    share = 1 / (1 - wanted.validation)  # of the first round: as many as the others to train on, and its validation
    missing = max(0, LEAST_VALIDATION - wanted.validated)
    start = missing / wanted.validation if wanted.validation else 0.0
    each = int((free - test) / (wanted.rounds - 1 + share))
    if each * share < start:
        each = int((free - test - start) / (wanted.rounds - 1))
    if each < LEAST:
        start = max(start, LEAST * share)
        least = wanted.marked + wanted.test + math.ceil(start) + LEAST * (wanted.rounds - 1)
        held_out = f", of which {wanted.marked + test:,} would be tested on" if wanted.marked + test else ""
        raise UserError(
            f"{wanted.limit:,} prompts are too few for {wanted.rounds} rounds{held_out}: each needs at least {LEAST} to train "
            f"on. Use --limit {least} or more, or fewer --rounds."
        )
    return [wanted.limit - (wanted.rounds - 1) * each, *[each] * (wanted.rounds - 1)]
