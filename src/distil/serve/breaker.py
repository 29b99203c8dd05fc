"""The circuit breaker before the teacher, one for all requests: a teacher that fails costs a few of them some seconds, not each.

Closed: requests go. After TRIPS_AFTER failures in a row, or one that concerns all requests (no money, a full disk): open, nobody
goes. When the pause is over one request goes as a probe: if it works the breaker closes, else the pause doubles. Only decides.
"""

from __future__ import annotations

import time
from collections.abc import Callable

TRIPS_AFTER = 3
FIRST_PAUSE_S = 1.0
MAX_PAUSE_S = 10.0
"""Of a pause of its own; a provider may ask for more."""
MAX_ASKED_S = 120.0
RECENT_S = 5.0


class Breaker:
    """`enter` before each request; where it allows it, one of `success`, `failure` and `left` afterwards."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._in_a_row = 0
        self._failed_at = 0.0
        self._open_until: float | None = None
        self._pause_s = FIRST_PAUSE_S
        self._probing = False

    @property
    def open(self) -> bool:
        """Whether something is known to be wrong: it failed, and has not worked since."""
        return self._open_until is not None

    @property
    def wait_s(self) -> float:
        """Seconds until it is worth trying again."""
        return 0.0 if self._open_until is None else max(FIRST_PAUSE_S, self._open_until - self._clock())

    @property
    def failing(self) -> bool:
        """Whether it failed just now; after some seconds without a request that is unknown."""
        return self._in_a_row > 0 and self._clock() < max(self._open_until or 0.0, self._failed_at + RECENT_S)

    @property
    def may_enter(self) -> bool:
        """What `enter` would say."""
        return self._open_until is None or (not self._probing and self._clock() >= self._open_until)

    def enter(self) -> bool:
        """Whether a request may go. After a pause only one may, the probe."""
        if not self.may_enter:
            return False
        self._probing = self._open_until is not None
        return True

    def success(self) -> None:
        """It answered."""
        self._in_a_row, self._open_until, self._pause_s, self._probing = 0, None, FIRST_PAUSE_S, False

    def failure(self, *, for_all: bool = False, asked_s: float | None = None) -> None:
        """It failed. for_all: whatever is asked would fail; asked_s: it asks to wait so long."""
        self._in_a_row, self._failed_at = self._in_a_row + 1, self._clock()
        was_probe, self._probing = self._probing, False
        if self._open_until is not None and not was_probe:  # sent before it opened: nothing new
            return
        if not (for_all or was_probe or self._in_a_row >= TRIPS_AFTER):
            return
        pause = max(self._pause_s, min(asked_s or 0.0, MAX_ASKED_S))
        self._open_until = self._clock() + pause
        self._pause_s = min(2 * self._pause_s, MAX_PAUSE_S)

    def left(self) -> None:
        """Its client has left, so that nothing is known: another may probe."""
        self._probing = False
