"""Counters for the live display: what was answered, failed, spent, how fast, and how much longer. Counts only; draws nothing.

Numbers move only after the ledger holds the reply.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

WINDOW_S = 15.0


class Admission(NamedTuple):
    """What holds requests back at this moment, over all teachers."""

    limit: int
    """Requests at once that are allowed."""
    rate_limit: float | None
    """Requests a second that are allowed; None: no limit is known."""
    held_by_cap: int
    """Requests that wait until their highest possible cost fits under the dollar cap."""
    waiting: str | None = None
    """Why a teacher sends nothing at this moment, for a person."""


class Stats:
    """clock: seconds; admission: reads the gates and the budget."""

    def __init__(self, clock: Callable[[], float], admission: Callable[[], Admission]) -> None:
        self._clock = clock
        self._admission = admission
        self.answered = 0
        """Paid replies of this client."""
        self.cached = 0
        """Replies that the ledger had."""
        self.failed = 0
        """Requests given up."""
        self.in_flight = 0
        """On the wire now."""
        self.retries = 0
        """Attempts after the first."""
        self.hedged = 0
        """Requests sent a second time because their answer was late."""
        self.refused = 0
        """Attempts that the provider refused as too fast or too many."""
        self.input_tokens = 0
        self.output_tokens = 0
        self.usd = 0.0
        """Dollars of the answered ones, second replies included."""
        self.uncertain_usd = 0.0
        """Dollars that attempts without an answer may have cost."""
        self._sent_at: dict[int, float] = {}
        self._number = 0
        self._recent: deque[tuple[int, int]] = deque()
        self._started = clock()

    @property
    def admission(self) -> Admission:
        """What holds requests back now."""
        return self._admission()

    def note_sent(self) -> int:
        """A request is on the wire. Returns its number, for `note_back`."""
        self._number += 1
        self._sent_at[self._number] = self._clock()
        self.in_flight += 1
        return self._number

    def note_back(self, number: int) -> None:
        """It is not any more."""
        self._sent_at.pop(number, None)
        self.in_flight -= 1

    @property
    def oldest_s(self) -> float:
        """Seconds since the oldest request on the wire was sent; 0 without any."""
        return self._clock() - next(iter(self._sent_at.values())) if self._sent_at else 0.0

    @property
    def tokens(self) -> int:
        """Input and output."""
        return self.input_tokens + self.output_tokens

    @property
    def sent(self) -> int:
        """Attempts that have ended."""
        return self.answered + self.failed + self.retries

    @property
    def rate(self) -> float:
        """Answers a second over the last 15 seconds."""
        now = self._clock()
        self._forget(now)
        span = min(now - self._started, WINDOW_S)
        return sum(count for _, count in self._recent) / span if span > 0 else 0.0

    def forecast_usd(self, total: int) -> float | None:
        """Dollars that `total` requests will have cost this client, by the mean so far; None before the first answer."""
        if self.answered == 0:
            return None
        return self.usd + self.usd / self.answered * self._open(total)

    def time_left_s(self, total: int) -> float | None:
        """Seconds until `total` requests are done at the present rate; None when that is unknown."""
        remaining = self._open(total)
        if remaining == 0:
            return 0.0
        return remaining / self.rate if self.rate > 0 else None

    def note_answer(self, input_tokens: int, output_tokens: int, usd: float) -> None:
        """One paid reply is durable."""
        self.answered += 1
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens
        self.usd += usd
        second = int(self._clock())
        if self._recent and self._recent[-1][0] == second:
            self._recent[-1] = (second, self._recent[-1][1] + 1)
        else:
            self._recent.append((second, 1))
            self._forget(second)

    def _open(self, total: int) -> int:
        return max(total - self.answered - self.cached - self.failed, 0)

    def _forget(self, now: float) -> None:
        while self._recent and self._recent[0][0] < now - WINDOW_S:
            self._recent.popleft()
