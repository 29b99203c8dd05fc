"""What the judge of an evaluation said: the `judge` part of summary.json."""

from __future__ import annotations

from distil.records import Record
from distil.runs.schemas.interval import Interval


class JudgeSummary(Record):
    """The judge's comparison of student and teacher, each pair in both orders."""

    model: str
    """Who judged."""
    win_rate: Interval
    """Student's share of wins, a tie or a disagreement between the orders counting one half."""
    consistency: float
    """Share of pairs with the same winner in both orders."""
    first_slot: float
    """Share of single judgments that prefer the answer shown first: 0.5 is unbiased (ties left out)."""
    unreadable: int
    """Replies without a readable judgment (their pair is left out)."""
    longer_wins: float | None = None
    """Share of the decided pairs of unequal length that the longer answer won: 0.5 is unbiased."""
    length_controlled: Interval | None = None
    """The win rate at equal length (AlpacaEval 2); None below 30 pairs, or where one side is always the longer one."""
