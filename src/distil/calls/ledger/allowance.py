"""One sum of dollars for several stages: how much of it is left, and the caps that make each stage keep to it.

The ledger holds the caps; a stage's `budget_usd` counts everything ever paid for its purpose, so a cap is what was paid plus what
may be. A session of `distil mcp` is such a sum, and so are the rounds of `distil until`.
"""

from __future__ import annotations

from pathlib import Path

from distil.calls.ledger.store import Ledger

PAYING = ("collect", "curate", "evaluate", "judge")
"""Purposes that the sum pays for."""


def paid(ledger: Path, *purposes: str) -> float:
    """Dollars ever paid for purposes; what may have been paid without an answer, or is held by an open batch, counts as paid."""
    if not ledger.exists():
        return 0.0
    with Ledger(ledger) as book:
        return sum(
            book.spent(purpose) + book.uncertain(purpose).usd + book.reserved(purpose, "batch") for purpose in purposes
        )


def settled(ledger: Path, *purposes: str) -> float:
    """What was paid before a sum begins. An open batch counts in the sum: what it holds may turn out to be more than it costs."""
    if not ledger.exists():
        return 0.0
    with Ledger(ledger) as book:
        return sum(book.spent(purpose) + book.uncertain(purpose).usd for purpose in purposes)


class Allowance:
    """A sum of dollars, from a point in the ledger on."""

    def __init__(self, ledger: Path, usd: float, before: float | None = None) -> None:
        """usd: the sum; before: see `settled` of when it began (None = it begins now)."""
        self._ledger = ledger
        self.usd = usd
        self.before = settled(ledger, *PAYING) if before is None else before

    def spent(self) -> float:
        """Dollars of the sum that are spent."""
        return paid(self._ledger, *PAYING) - self.before

    def left(self) -> float:
        """Dollars of the sum that are not spent; never below 0."""
        return max(self.usd - self.spent(), 0.0)

    def cap(self, purpose: str, usd: float, configured: float | None = None) -> float:
        """The budget_usd of a stage that may spend `usd` more for its purpose, and no more than is configured."""
        cap = paid(self._ledger, purpose) + min(usd, self.left())
        return cap if configured is None else min(cap, configured)

    def evaluate_cap(self, usd: float, configured: float | None = None) -> float:
        """evaluate.budget_usd: one figure that caps second answers and the judge, each for itself."""
        granted = min(usd, self.left())
        each = sorted((paid(self._ledger, "evaluate"), paid(self._ledger, "judge")))
        both = (sum(each) + granted) / 2
        cap = both if both >= each[1] else each[0] + granted
        return cap if configured is None else min(cap, configured)
