"""Is a judge worth listening to? What the place of an answer does to it, and whether its two orders agree beyond coin flips.

Judges like what they see first (Zheng et al. 2023, MT-Bench). One that always names the first answer gives a win rate of exactly
one half with a narrow interval, and says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from distil.evaluate import stats
from distil.judging.reading import Slot
from distil.runs.schemas.interval import Interval

ALPHA = 0.05
"""Consistency counts as above chance below this p value."""
FIRST: Mapping[Slot, int] = {"A": 1, "B": -1, "tie": 0}
ALWAYS: Mapping[Slot, Literal["first", "second", "tie"]] = {"A": "first", "B": "second", "tie": "tie"}


class Position(NamedTuple):
    """What the order of the answers did."""

    consistency: float
    """Share of the pairs with the same winner in both orders."""
    by_chance: float
    """The same for coins with this judge's own shares: 2ab + t^2, where a, b and t are the shares of first, second and tie."""
    p: float
    """One-sided exact binomial p value that the consistency is above that."""
    first_slot: Interval | None
    """Share of the decided judgments for the answer shown first; None where all are ties."""
    first_slot_p: float | None
    """Exact sign test over pairs that neither place is preferred."""
    always: Literal["first", "second", "tie"] | None
    """The judge said nothing else."""

    @property
    def telling(self) -> bool:
        """The judgments depend on the answers, not only on their places."""
        return self.p < ALPHA

    @property
    def above_chance(self) -> float:
        """Share of the pairs in which the judge is more than a coin, in [0, 1].

        Where it is a coin, a pair counts one half on average: a true win rate of w shows as 0.5 + share * (w - 0.5). A preference
        for a place makes this estimate too low, which is the careful side.
        """
        return max(0.0, (self.consistency - self.by_chance) / (1 - self.by_chance)) if self.by_chance < 1 else 0.0


def agree(forward: Slot, backward: Slot) -> bool:
    """Whether both orders name the same answer: A then B, B then A, or two ties."""
    return FIRST[forward] + FIRST[backward] == 0 and (forward == "tie") == (backward == "tie")


def position(orders: Sequence[Sequence[tuple[Slot, Slot]]], *, confidence: float = 0.95) -> Position | None:
    """From each pair's (student first, teacher first) verdicts, one or several repeats; None without any.

    Repeats of a pair are not independent, so all tests and intervals count pairs.
    """
    pairs = [pair for pair in orders if pair]
    if not pairs:
        return None
    n = len(pairs)
    singles = [slot for pair in pairs for both in pair for slot in both]
    shares = {slot: singles.count(slot) / len(singles) for slot in FIRST}
    consistency = float(np.mean([np.mean([agree(*both) for both in pair]) for pair in pairs]))
    chance = 2 * shares["A"] * shares["B"] + shares["tie"] ** 2
    decided = singles.count("A") + singles.count("B")
    first = None
    if decided:
        share = singles.count("A") / decided
        # a pair's two judgments are not independent: at most as many as there are pairs count
        count = max(1, min(n, decided))
        bounds = stats.wilson(round(share * count), count, confidence=confidence)
        first = Interval(mean=share, low=min(bounds.low, share), high=max(bounds.high, share), n=decided)
    nets = [sum(FIRST[slot] for both in pair for slot in both) for pair in pairs]
    return Position(
        consistency=consistency,
        by_chance=chance,
        p=upper_tail(math.floor(consistency * n + 1e-9), n, chance),
        first_slot=first,
        first_slot_p=_sign_test(sum(net > 0 for net in nets), sum(net < 0 for net in nets)) if decided else None,
        always=next((ALWAYS[slot] for slot in FIRST if shares[slot] == 1.0), None),
    )


def upper_tail(successes: int, n: int, p: float) -> float:
    """P(X >= successes) for X ~ Bin(n, p)."""
    from scipy.special import bdtrc

    if successes <= 0:
        return 1.0
    return float(bdtrc(successes - 1, n, min(max(p, 0.0), 1.0)))


def _sign_test(above: int, below: int) -> float:
    return min(1.0, 2 * upper_tail(max(above, below), above + below, 0.5))


def noise(values: Sequence[Sequence[float]]) -> float | None:
    """Share of the pairs whose repeats differ, among those read at least twice; None where there are none."""
    repeated = [pair for pair in values if len(pair) > 1]
    return sum(len(set(pair)) > 1 for pair in repeated) / len(repeated) if repeated else None
