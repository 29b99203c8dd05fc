"""How many rounds the money buys, which prompts each asks, and what each look may spend of the error. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from distil.ids import drawn
from distil.records import Prompt
from distil.stats.spending import allotment, shares

MOST_ROUNDS = 8
LEAST_NEW = 200
"""Prompts to learn from in the first round."""
PER_TEST_PROMPT = 2.25
"""Prompts to learn from in the first round for each test prompt that is drawn: at most a third of all are drawn."""


def in_order(prompts: Iterable[Prompt], answered: frozenset[str]) -> list[Prompt]:
    """The order in which prompts are asked: answered ones and test prompts first, the others mixed, the same in every run."""

    def place(prompt: Prompt) -> tuple[bool, bool, int]:
        return prompt.id not in answered, prompt.split != "test", drawn(f"until:{prompt.id}")

    return sorted(prompts, key=place)


def first_size(prompts: Sequence[Prompt], answered: int, test: int) -> int:
    """Prompts of the first round: enough for all of the test prompts and for a student. test: prompts to draw (curate.test)."""
    fixed = sum(prompt.split == "test" for prompt in prompts)
    held_out = fixed or test
    learning = LEAST_NEW if fixed else max(LEAST_NEW, math.ceil(PER_TEST_PROMPT * test))
    return min(len(prompts), max(answered, held_out + learning))


def sizes(first: int, most: int, test: int) -> list[int]:
    """Prompts asked by the end of each round: those to learn from at least double, and the last round has all that can be paid.

    first: of the first round, at least; most: of the last; test: prompts among them that nobody learns from.
    """
    learning, all_learning = max(first - test, 1), max(most - test, 1)
    if all_learning < 2 * learning:
        return [max(first, most)]
    rounds = min(MOST_ROUNDS, 1 + int(math.log2(all_learning / learning)))
    return [test + round(all_learning / 2 ** (rounds - 1 - k)) for k in range(rounds)]


def shares_of(planned: Sequence[int], test: int, plans_before: int) -> list[float]:
    """The share of the error of each round's look, see distil/stats/spending.py."""
    return shares([max(size - test, 1) for size in planned], allotment(plans_before))
