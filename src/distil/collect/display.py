"""The line that shows how collecting goes: answered, failed, tokens, dollars spent and to come, rate and limit.

Time left and the bar itself are distil.progress's: live on a terminal, a plain line every ten seconds elsewhere.
"""

from __future__ import annotations

import time

from distil.calls.stats import Stats
from distil.progress import Bar

REDRAW_S = 0.1


class Display:
    """Feeds a bar from the client's counters; redraws at most ten times a second."""

    def __init__(self, bar: Bar, total: int) -> None:
        self._bar = bar
        self._total = total
        self._done = 0
        self._failed = 0
        self._drawn = 0.0

    def advance(self, stats: Stats, *, failed: bool) -> None:
        """One more ask is settled."""
        self._done += 1
        self._failed += failed
        now = time.monotonic()
        if now - self._drawn >= REDRAW_S or self._done == self._total:
            self._drawn = now
            self._bar.update(self._done, self.note(stats))

    def note(self, stats: Stats) -> str:
        """`3 failed, $0.12 of about $1.90, 85.0/s (180 of 200 at once), 12,345 tokens`."""
        parts = [f"{self._failed:,} failed"] if self._failed else []
        if stats.usd > 0:
            parts.append(f"{money(stats.usd)} of about {money(stats.forecast_usd(self._total) or stats.usd)}")
        if stats.answered:
            limit = f", limit {stats.rate_limit:,.1f}/s" if stats.rate_limit is not None else ""
            parts.append(f"{stats.rate:,.1f}/s ({stats.in_flight} of {stats.limit:,.0f} at once{limit})")
        if stats.tokens:
            parts.append(f"{stats.tokens:,} tokens")
        if stats.cached:
            parts.append(f"{stats.cached:,} from the ledger")
        return ", ".join(parts)


def money(usd: float) -> str:
    """$0.0042 | $1.23 | $1,234."""
    return f"${usd:,.4f}" if usd < 0.1 else f"${usd:,.2f}"
