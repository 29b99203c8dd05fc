"""Whether a judge's two orders agree beyond coin flips.

Judges like what they see first (Zheng et al. 2023, MT-Bench). One that always names the first answer calls every pair undecided,
and says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from distil.judging.reading import Slot

ALPHA = 0.05
"""Consistency counts as above chance below this p value."""
FIRST: Mapping[Slot, int] = {"A": 1, "B": -1, "tie": 0}
ALWAYS: Mapping[Slot, Literal["first", "second", "tie"]] = {"A": "first", "B": "second", "tie": "tie"}


class Agreement(NamedTuple):
    """How often both orders name the same answer, and how often they would by chance."""

    consistency: float
    """Share of the pairs with the same winner in both orders."""
    by_chance: float
    """The same for coins with this judge's own shares: 2ab + t^2, where a, b and t are the shares of first, second and tie."""
    p: float
    """One-sided exact binomial p value that the consistency is above that."""
    always: Literal["first", "second", "tie"] | None
    """The judge said nothing else."""

    @property
    def telling(self) -> bool:
        """The judgments depend on the answers, not only on their places."""
        return self.p < ALPHA

    def why_not(self) -> str | None:
        """Why nothing may be concluded from these judgments, as the rest of a sentence; None where something may be."""
        if self.telling:
            return None
        if self.always == "tie":
            return "the judge calls every pair a tie"
        if self.always is not None:
            return f"the judge always names the answer shown {self.always}"
        return (
            f"the judge does no better than chance: its two orders agree in {self.consistency:.0%} of the pairs, and coin "
            f"flips would in {self.by_chance:.0%} (p {self.p:.2f})"
        )


def agree(forward: Slot, backward: Slot) -> bool:
    """Whether both orders name the same answer: A then B, B then A, or two ties."""
    return FIRST[forward] + FIRST[backward] == 0 and (forward == "tie") == (backward == "tie")


def agreement(orders: Sequence[Sequence[tuple[Slot, Slot]]]) -> Agreement | None:
    """From each pair's (student first, teacher first) verdicts, one or several repeats; None without any.

    Repeats of a pair are not independent, so that pairs are counted.
    """
    pairs = [pair for pair in orders if pair]
    if not pairs:
        return None
    singles = [slot for pair in pairs for both in pair for slot in both]
    shares = {slot: singles.count(slot) / len(singles) for slot in FIRST}
    consistency = float(np.mean([np.mean([agree(*both) for both in pair]) for pair in pairs]))
    chance = 2 * shares["A"] * shares["B"] + shares["tie"] ** 2
    return Agreement(
        consistency=consistency,
        by_chance=chance,
        p=upper_tail(math.floor(consistency * len(pairs) + 1e-9), len(pairs), chance),
        always=next((ALWAYS[slot] for slot in FIRST if shares[slot] == 1.0), None),
    )


def upper_tail(successes: int, n: int, p: float) -> float:
    """P(X >= successes) for X ~ Bin(n, p)."""
    from scipy.special import bdtrc

    if successes <= 0:
        return 1.0
    return float(bdtrc(successes - 1, n, min(max(p, 0.0), 1.0)))
