"""What `collect` says at its end: counts, dollars, failures, and with --dry-run the forecast. Printed by `distil collect`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from distil.calls.ledger.store import Uncertain
from distil.collect.forecast import CollectForecast
from distil.collect.forecast import rows as forecast_rows
from distil.collect.questions import Failure
from distil.progress import dollars
from distil.records import Record

SHOWN = 3
_DIFFERENT = re.compile(r"\d+|call_[0-9a-f]+")


class Reason(Record):
    """Why requests failed."""

    kind: str
    """As in failures.jsonl."""
    why: str
    """As the first of them says it."""
    count: int
    """How many say so, numbers apart."""


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
    reasons: tuple[Reason, ...] = ()
    """The most frequent of the failures' reasons."""
    forecast: tuple[CollectForecast, ...] = ()
    """Only of --dry-run."""
    cap_usd: float | None = None
    """collect.budget_usd."""
    terms: tuple[str, ...] = ()
    """One line per vendor on training on its outputs."""

    def rows(self) -> list[tuple[str, str]]:
        """(name, value) pairs for a table."""
        found = self._forecast() if self.forecast else self._collected()
        if self.uncertain_requests:
            found.append(("uncertain", str(Uncertain(self.uncertain_requests, self.uncertain_usd))))
        return found

    def _collected(self) -> list[tuple[str, str]]:
        found = [
            ("answers", f"{self.answers:,} of {self.wanted:,} (work/collect/answers.jsonl)"),
            ("asked now", f"{self.new:,}, {dollars(self.usd)}"),
            ("spent in all", dollars(self.usd_total)),
        ]
        if self.failed:
            found.append(("failed", f"{self.failed:,} (work/collect/failures.jsonl; distil collect --only failed)"))
            found += [
                (f"  {one.kind}", one.why if one.count == 1 else f"{one.count:,} x {one.why}") for one in self.reasons
            ]
        return found

    def _forecast(self) -> list[tuple[str, str]]:
        found = forecast_rows(self.forecast)
        usd = sum(one.usd for one in self.forecast)
        if len(self.forecast) > 1:
            found.append(("in all", f"about {dollars(usd)}, at most {dollars(sum(f.most_usd for f in self.forecast))}"))
        cap = "no cap" if self.cap_usd is None else f"the cap is {dollars(self.cap_usd)}"
        found.append(("spent so far", f"{dollars(self.usd_total)}; {cap}"))
        needed = self.usd_total + self.uncertain_usd + usd
        if self.cap_usd is not None and usd > 0 and needed > self.cap_usd:
            found.append(("over the cap", f"it will stop before the end; --set collect.budget_usd={needed * 1.2:.2g}"))
        return found


def reasons(failures: Iterable[Failure]) -> tuple[Reason, ...]:
    """The most frequent reasons; what differs only in its numbers counts as one."""
    counts: Counter[tuple[str, str]] = Counter()
    first: dict[tuple[str, str], str] = {}
    for failure in failures:
        key = failure.kind, _DIFFERENT.sub("#", failure.why)
        counts[key] += 1
        first.setdefault(key, failure.why)
    return tuple(Reason(kind=key[0], why=first[key], count=count) for key, count in counts.most_common(SHOWN))
