"""What `collect` says at its end: counts, dollars, failures, and with --dry-run the forecast. Printed by `distil collect`."""

from __future__ import annotations

from distil.calls.ledger import Uncertain
from distil.collect.asks import Failure
from distil.collect.display import money
from distil.collect.forecast import Forecast
from distil.collect.forecast import rows as forecast_rows
from distil.records import Record


class CollectResult(Record):
    """What a run brought, or with --dry-run what it would cost."""

    wanted: int
    """Prompts x teachers x samples."""
    answers: int
    """Lines of answers.jsonl."""
    failed: int
    """Lines of failures.jsonl."""
    new: int
    """Replies paid for in this run."""
    usd: float
    """Dollars of this run."""
    usd_total: float
    """Dollars of all runs, as the ledger has them."""
    uncertain_requests: int
    """Requests that may have been paid for without an answer."""
    uncertain_usd: float
    """The most that those can have cost."""
    failures: tuple[Failure, ...] = ()
    """The first few."""
    forecast: tuple[Forecast, ...] = ()
    """Only of --dry-run."""
    terms: tuple[str, ...] = ()
    """One line per vendor on training on its outputs."""

    def rows(self) -> list[tuple[str, str]]:
        """(name, value) pairs for a table."""
        if self.forecast:
            return forecast_rows(self.forecast)
        found = [
            ("answers", f"{self.answers:,} of {self.wanted:,} (work/collect/answers.jsonl)"),
            ("asked now", f"{self.new:,}, {money(self.usd)}"),
            ("spent in all", money(self.usd_total)),
        ]
        if self.failed:
            found.append(("failed", f"{self.failed:,} (work/collect/failures.jsonl; distil collect --only failed)"))
            found += [(f"  {one.kind}", one.why) for one in self.failures]
        if self.uncertain_requests:
            found.append(("uncertain", str(Uncertain(self.uncertain_requests, self.uncertain_usd))))
        return found
