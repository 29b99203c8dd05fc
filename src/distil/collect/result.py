"""The result of `distil collect`: counts, dollars, failures, and with --dry-run the forecast."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from distil.calls.ledger.store import Uncertain
from distil.collect.forecast import CollectForecast
from distil.collect.forecast import rows as forecast_rows
from distil.progress import dollars
from distil.records import Record
from distil.runs.schemas.failures import Failure

MAX_REASONS = 3
_NUMBERS = re.compile(r"\d+|call_[0-9a-f]+")


class Reason(Record):
    """Why requests failed."""

    kind: str
    """As in failures.jsonl."""
    why: str
    """The first message of this kind."""
    count: int
    """Failures with this message, whatever the numbers in it."""


class CollectResult(Record):
    """What a run collected, or with --dry-run what it would cost."""

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
    """Dollars of all runs, from the ledger."""
    uncertain_requests: int
    """Requests that may have been paid for without an answer."""
    uncertain_usd: float
    """At most this much was paid for them."""
    reasons: tuple[Reason, ...] = ()
    """The most frequent reasons of failures."""
    forecast: tuple[CollectForecast, ...] = ()
    """Only with --dry-run."""
    cap_usd: float | None = None
    """collect.budget_usd."""
    terms: tuple[str, ...] = ()
    """One line per vendor on training on its outputs."""

    def rows(self) -> list[tuple[str, str]]:
        """(name, value) pairs for a table."""
        table = self._forecast() if self.forecast else self._collected()
        if self.uncertain_requests:
            table.append(("uncertain", str(Uncertain(self.uncertain_requests, self.uncertain_usd))))
        return table

    def _collected(self) -> list[tuple[str, str]]:
        table = [
            ("answers", f"{self.answers:,} of {self.wanted:,} (work/collect/answers.jsonl)"),
            ("new in this run", f"{self.new:,}, {dollars(self.usd)}"),
            ("total spent", dollars(self.usd_total)),
        ]
        if self.failed:
            table.append(("failed", f"{self.failed:,} (work/collect/failures.jsonl; distil collect --only failed)"))
            table += [
                (f"  {reason.kind}", reason.why if reason.count == 1 else f"{reason.count:,} x {reason.why}")
                for reason in self.reasons
            ]
        return table

    def _forecast(self) -> list[tuple[str, str]]:
        table = forecast_rows(self.forecast)
        usd = sum(part.usd for part in self.forecast)
        if len(self.forecast) > 1:
            table.append(("total", f"about {dollars(usd)}, at most {dollars(sum(f.most_usd for f in self.forecast))}"))
        cap = "no cap" if self.cap_usd is None else f"the cap is {dollars(self.cap_usd)}"
        table.append(("spent so far", f"{dollars(self.usd_total)}; {cap}"))
        needed = self.usd_total + self.uncertain_usd + usd
        if self.cap_usd is not None and usd > 0 and needed > self.cap_usd:
            table.append(("over the cap", f"it will stop early; raise it: --set collect.budget_usd={needed * 1.2:.2g}"))
        return table


def reasons(failures: Iterable[Failure]) -> tuple[Reason, ...]:
    """The most frequent reasons; messages that differ only in their numbers count as one."""
    counts: Counter[tuple[str, str]] = Counter()
    first: dict[tuple[str, str], str] = {}
    for failure in failures:
        key = failure.kind, _NUMBERS.sub("#", failure.why)
        counts[key] += 1
        first.setdefault(key, failure.why)
    return tuple(Reason(kind=key[0], why=first[key], count=count) for key, count in counts.most_common(MAX_REASONS))
