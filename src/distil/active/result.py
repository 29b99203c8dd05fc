"""What `distil collect --active` returns: the rounds, as a record and as a table."""

from __future__ import annotations

from collections.abc import Sequence

from distil.collect.result import CollectResult
from distil.progress import dollars
from distil.records import Record
from distil.runs.schemas.active import ActiveRound

COLUMNS = ("round", "asked", "chosen by", "unsure: asked", "of pool", "finds errors", "student before")


class ActiveResult(Record):
    """The rounds so far."""

    rounds: tuple[ActiveRound, ...]
    """In order."""
    asked: int
    """Prompts of all rounds."""
    limit: int
    """Prompts that were to be asked."""
    collected: CollectResult | None = None
    """Of the last round; None = all of it was there."""

    @classmethod
    def of(cls, rounds: Sequence[ActiveRound], collected: CollectResult | None) -> ActiveResult:
        """The rounds (at least one) so far."""
        asked = sum(one.asked for one in rounds)
        return cls(rounds=tuple(rounds), asked=asked, limit=rounds[-1].limit, collected=collected)

    def table(self) -> list[list[str]]:
        """A row for each round: cells of COLUMNS."""
        return [_row(one) for one in self.rounds]

    def lines(self) -> list[str]:
        """What else a person should know."""
        found = [f"{self.asked:,} of {self.limit:,} prompts were chosen."]
        if self.collected is not None:
            found.append(f"Spent on collecting in this project: {dollars(self.collected.usd_total)}.")
            if self.collected.failed:
                found.append(f"{self.collected.failed:,} requests failed: distil collect --only failed")
        later = self.rounds[1:]
        random = sum(one.how == "random" for one in later)
        if random:
            found.append(
                f"{random} of {len(later)} later rounds were random, because uncertainty would not have helped: {later[-1].why}"
                if later[-1].why
                else f"{random} of {len(later)} later rounds were random, because uncertainty would not have helped."
            )
        found.append("Next: distil run (test and validation prompts come from the random first round only).")
        return found


def _row(one: ActiveRound) -> list[str]:
    def share(value: float | None) -> str:
        return "-" if value is None else f"{value:.2f}"

    before = "-" if one.score is None else f"{one.metric} {one.score:.3f} ({one.train_rows:,} rows)"
    return [
        str(one.number),
        f"{one.asked:,}",
        one.how,
        share(one.asked_uncertainty),
        share(one.pool_uncertainty),
        share(one.ranking),
        before,
    ]
