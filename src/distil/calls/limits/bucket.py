"""A token bucket that knows when the next request may go, so that nobody polls. Requests a minute, tokens a minute.

The generic cell rate algorithm (GCRA, ATM Forum 1996): one number, the time at which the bucket would be level again. Starts
with a second's worth of burst, not with a full minute's, because that is how storms of 429 begin. Used by gate.py only.
"""

from __future__ import annotations

BURST_S = 1.0
# Windows longer than this are quotas of an hour or a day: nothing to pace by.
LONGEST_WINDOW_S = 150.0


class Bucket:
    """`rate` is in units a second (requests or tokens)."""

    def __init__(self, rate: float, now: float, burst_s: float = BURST_S) -> None:
        self.rate = rate
        self.burst_s = burst_s
        self._level_at = now

    def ready_at(self, now: float) -> float:
        """When the next request may go. A request larger than the burst goes too, and those behind it wait for it."""
        return max(now, self._level_at - self.burst_s)

    def take(self, cost: float, now: float) -> None:
        """Charges `cost` units."""
        self._level_at = max(self._level_at, now) + cost / self.rate

    def correct(self, difference: float) -> None:
        """Charges what was more (or gives back what was less) than expected, once it is known."""
        self._level_at += difference / self.rate

    def set_rate(self, rate: float, now: float) -> None:
        """Another rate; what is owed in units stays the same."""
        owed = max(self._level_at - now, 0.0) * self.rate
        self.rate = rate
        self._level_at = now + owed / rate

    def drain(self, now: float) -> None:
        """The provider says that nothing is left: the next one waits for one unit's time."""
        self._level_at = max(self._level_at, now + self.burst_s)


def per_second(limit: int, remaining: int | None, reset_s: float | None) -> float | None:
    """Units a second that a header's limit means: limit/60 unless used and reset show that its window is longer.

    `reset_s` is the time until the bucket is full: (limit - remaining) units in `reset_s` seconds. Groq's and OpenAI's
    lowest tiers put a day's limit into the same header; those give None.
    """
    if limit <= 0:
        return None
    if remaining is not None and reset_s and 0 <= remaining < limit:
        window_s = limit * reset_s / (limit - remaining)
        if window_s > LONGEST_WINDOW_S:
            return None
    return limit / 60.0
