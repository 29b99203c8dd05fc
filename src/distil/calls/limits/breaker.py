"""A circuit breaker: when everything fails, first pause and try single requests, then stop the run cleanly.

Only faults that asking again could mend count; one success closes it. Not a limiter (gate.py): it looks at failures. Being
refused for asking too fast does not trip it, but a provider that refuses everything for minutes is as good as down.
"""

from __future__ import annotations

from collections.abc import Callable

TRIPS_AFTER = 10
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
GIVE_UP_S = 300.0


class Breaker:
    """`success` and `failure` after each attempt; `given_up` tells when waiting on is no use."""

    def __init__(self, clock: Callable[[], float], give_up_s: float = GIVE_UP_S) -> None:
        self._clock = clock
        self.give_up_s = give_up_s
        self._in_a_row = 0
        self._failing_since: float | None = None
        self._paused_until = 0.0
        self._pause_s = FIRST_PAUSE_S
        self.open = False
        """Everything fails now: single requests are let through to try."""

    def success(self) -> None:
        """An attempt brought a reply that shows the provider at work."""
        self._in_a_row = 0
        self._failing_since = None
        self._pause_s = FIRST_PAUSE_S
        self.open = False

    def failure(self, sent_at: float, *, refused: bool = False) -> float | None:
        """An attempt failed in a way that may pass. Returns seconds for which nothing should be sent, or None."""
        now = self._clock()
        if self._failing_since is None:
            self._failing_since = now
        if refused:
            return None
        self._in_a_row += 1
        # What was sent before the end of the pause says nothing about how things are after it.
        if (self.open and sent_at < self._paused_until) or self._in_a_row < TRIPS_AFTER:
            return None
        self.open = True
        pause, self._pause_s = self._pause_s, min(self._pause_s * 2, LONGEST_PAUSE_S)
        pause = min(pause, max(self._failing_since + self.give_up_s - now, 0.0))
        self._paused_until = now + pause
        return pause

    @property
    def given_up(self) -> bool:
        """Nothing has succeeded for `give_up_s`."""
        return self._failing_since is not None and self._clock() - self._failing_since >= self.give_up_s
