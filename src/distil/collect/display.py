"""The note beside the progress bar while collecting: failures, tokens, dollars, speed and limits.

The bar itself, with the count and the time left, is distil.progress.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from distil.calls.stats import Stats
from distil.progress import Bar, clock, dollars

REDRAW_S = 0.1
TICK_S = 1.0
OLD_S = 10.0
"""Seconds from which the age of the oldest request is shown."""


class Display:
    """Updates a bar from the client's counters; redraws at most ten times a second."""

    def __init__(self, bar: Bar, total: int) -> None:
        self._bar = bar
        self._total = total
        self._done = 0
        self._failed = 0
        self._drawn = 0.0

    def advance(self, stats: Stats, *, failed: bool) -> None:
        """One more question is answered or given up."""
        self._done += 1
        self._failed += failed
        now = time.monotonic()
        if now - self._drawn >= REDRAW_S or self._done == self._total:
            self._drawn = now
            # Not from the mean speed so far: answers found in the ledger took no time, and no more of them will come.
            self._bar.update(self._done, self.note(stats), stats.time_left_s(self._total))

    def note(self, stats: Stats) -> str:
        """`3 failed, 12,345 tokens, $0.12 of about $1.90, 85.0/s, 180 at once (limit 200, 90.0/s)`."""
        admission = stats.admission
        parts = [f"{self._failed:,} failed"] if self._failed else []
        if stats.cached:
            parts.append(f"{stats.cached:,} from the ledger")
        if stats.tokens:
            parts.append(f"{stats.tokens:,} tokens")
        if stats.usd > 0:
            parts.append(f"{dollars(stats.usd)} of about {dollars(stats.forecast_usd(self._total) or stats.usd)}")
        if stats.answered:
            rate = f", {admission.rate_limit:,.1f}/s" if admission.rate_limit is not None else ""
            parts.append(f"{stats.rate:,.1f}/s, {stats.in_flight:,} at once (limit {admission.limit:,}{rate})")
        if admission.held_by_cap:
            parts.append(f"{admission.held_by_cap:,} waiting for the dollar cap")
        if stats.oldest_s >= OLD_S:
            parts.append(f"oldest request {clock(stats.oldest_s)}")
        if admission.waiting:
            parts.append(f"waiting: {admission.waiting}")
        return ", ".join(parts)

    @asynccontextmanager
    async def ticking(self, stats: Stats) -> AsyncIterator[None]:
        """Inside, the note is also renewed while no answer comes: that is when it matters why."""

        async def tick() -> None:
            while True:
                await asyncio.sleep(TICK_S)
                self._bar.update(self._done, self.note(stats), stats.time_left_s(self._total))

        ticker = asyncio.create_task(tick())
        try:
            yield
        finally:
            ticker.cancel()
