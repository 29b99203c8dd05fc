"""Is a judge worth listening to? What the place of an answer does to it, beside whether its two orders agree (judging/orders.py).

Judges like what they see first (Zheng et al. 2023, MT-Bench). One that always names the first answer gives a win rate of exactly
one half with a narrow interval, and says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from distil.evaluate import stats
from distil.judging.orders import FIRST, Agreement, agreement, upper_tail
from distil.judging.reading import Slot
from distil.runs.schemas.interval import Interval


class Position(NamedTuple):
    """What the order of the answers did."""

    agreed: Agreement
    """Whether both orders name the same answer."""
    first_slot: Interval | None
    """Share of the decided judgments for the answer shown first; None where all are ties."""
    first_slot_p: float | None
    """Exact sign test over pairs that neither place is preferred."""

    @property
    def above_chance(self) -> float:
        """Share of the pairs in which the judge is more than a coin, in [0, 1].

        Where it is a coin, a pair counts one half on average: a true win rate of w shows as 0.5 + share * (w - 0.5). A preference
        for a place makes this estimate too low, which is the careful side.
        """
        consistency, by_chance = self.agreed.consistency, self.agreed.by_chance
        return max(0.0, (consistency - by_chance) / (1 - by_chance)) if by_chance < 1 else 0.0


def position(orders: Sequence[Sequence[tuple[Slot, Slot]]], *, confidence: float = 0.95) -> Position | None:
    """From each pair's (student first, teacher first) verdicts, one or several repeats; None without any.

    Repeats of a pair are not independent, so all tests and intervals count pairs.
    """
    pairs = [pair for pair in orders if pair]
    agreed = agreement(pairs)
    if agreed is None:
        return None
    n = len(pairs)
    singles = [slot for pair in pairs for both in pair for slot in both]
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
        agreed=agreed,
        first_slot=first,
        first_slot_p=_sign_test(sum(net > 0 for net in nets), sum(net < 0 for net in nets)) if decided else None,
    )


def _sign_test(above: int, below: int) -> float:
    return min(1.0, 2 * upper_tail(max(above, below), above + below, 0.5))


def noise(values: Sequence[Sequence[float]]) -> float | None:
    """Share of the pairs whose repeats differ, among those read at least twice; None where there are none."""
    repeated = [pair for pair in values if len(pair) > 1]
    return sum(len(set(pair)) > 1 for pair in repeated) / len(repeated) if repeated else None
