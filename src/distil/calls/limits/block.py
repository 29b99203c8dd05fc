"""A run of refusals in which nothing is taken, and what its length says: an outage, or a limit of so many requests per window.

Where single requests are refused too, no limit on requests at once is at work. What was taken between two openings, divided by
the time between them, is the rate that a window allows, whether it is fixed (600 per minute) or slides (50 in any 5 seconds):
sent evenly at that rate, nothing is refused in either. Times come from the caller; no clock here.
"""

from __future__ import annotations

from typing import NamedTuple

# While blocked, one request tries after this share of the time that it has lasted: the end is found within that share.
TRY_SHARE = 0.07
MIN_TRY_S = 0.1
MAX_TRY_S = 5.0
# An outage is over within two seconds of its end.
MAX_OUTAGE_TRY_S = 1.5
# A shorter one is not a window: a bucket gives one more request at once.
MIN_WINDOW_S = 1.0
LATENCIES = 3.0
ALONE = 2
# A block is certain after so many refusals of what was sent later than the first one, if at least half of that was refused.
CERTAIN = 3
REFUSED_SHARE = 0.5


class Opened(NamedTuple):
    """A block that ended."""

    length_s: float
    window: bool
    """It was a limit per window."""
    period_s: float
    """Seconds since the opening before it."""
    taken: int
    """Requests taken since then."""
    began: float
    least: int
    """Fewest requests in flight with one that was refused."""


class Block:
    """`accepted` and `refused` for every reply; `on` while nothing is taken."""

    def __init__(self) -> None:
        self._first_at: float | None = None
        self._repeated = self._sent_after = self._alone = 0
        self._certain = False
        self._least = 0
        self._opened_at: float | None = None
        self._taken = 0

    @property
    def since(self) -> float | None:
        """When it began; None while requests are taken, and until it is certain."""
        return self._first_at if self._certain else None

    @property
    def repeats(self) -> int:
        """Refusals since the first one of what was sent later, with nothing taken between: all are one event."""
        return self._repeated

    def sent(self, now: float) -> None:
        """A request goes out."""
        if self._opened_at is None:
            self._opened_at = now
        self._sent_after += 1

    def refused(self, sent_at: float, in_flight: int, now: float) -> None:
        """A refusal; in_flight: requests under way when it was sent, itself included."""
        if self._first_at is None:
            self._first_at, self._least = now, in_flight
            self._repeated = self._sent_after = self._alone = 0
        elif sent_at >= self._first_at:
            self._repeated += 1
            self._least = min(self._least, in_flight)
            self._alone += in_flight <= ALONE
            self._certain |= self._repeated >= CERTAIN and self._repeated >= REFUSED_SHARE * self._sent_after

    def accepted(self, sent_at: float, latency_s: float) -> Opened | None:
        """Something was taken. Returns the block that this ended."""
        opened = None
        if self._first_at is not None and sent_at >= self._first_at:
            opened = self._end(self._first_at, sent_at, latency_s)
            self._first_at, self._certain = None, False
        if self._opened_at is not None and sent_at >= self._opened_at:
            self._taken += 1
        return opened

    def pause_s(self, now: float, outage: bool) -> float:
        """Seconds until one more request should try."""
        lasted = now - self._first_at if self._first_at is not None else 0.0
        return min(max(TRY_SHARE * lasted, MIN_TRY_S), MAX_OUTAGE_TRY_S if outage else MAX_TRY_S)

    def _end(self, began: float, sent_at: float, latency_s: float) -> Opened | None:
        if not self._certain or self._opened_at is None:
            return None
        length = sent_at - began
        window = length >= max(MIN_WINDOW_S, LATENCIES * latency_s) and self._alone >= ALONE
        made = Opened(length, window, sent_at - self._opened_at, self._taken, began, self._least)
        if window:
            self._opened_at, self._taken = sent_at, 0
        return made
