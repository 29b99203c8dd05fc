"""How many requests are with the teacher at once and how many wait for it; beyond that a client hears at once when to come back.

Waiting where one can't be answered in time helps nobody: the wait is predicted from how long the last answers took.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from distil.serve.wire import EngineFailed

WEIGHT = 0.1
"""Of the newest answer in the typical seconds."""


class TeacherFull(EngineFailed):
    """Too many requests wait for the teacher, or more than it can answer in time."""

    def __init__(self, waiting: int, wait_s: float) -> None:
        super().__init__(f"{waiting} requests are waiting for the teacher already; try again later.", status=429)
        self.code, self.retry_after_s = "overloaded", max(1, math.ceil(wait_s))


class Places:
    """`most` at once, and `queue` that wait, first come, first served."""

    def __init__(self, most: int, queue: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.waiting = 0
        self.typical_s = 0.0
        """How long an answer takes, an average of the last ones; 0 before the first."""
        self._most, self._queue, self._clock = most, queue, clock
        self._places = asyncio.Semaphore(most)

    @property
    def wait_s(self) -> float:
        """What a request that comes now would wait."""
        free = not self._places.locked() and not self.waiting
        return 0.0 if free else (self.waiting + 1) * self.typical_s / self._most

    @asynccontextmanager
    async def place(self, left_s: float | None) -> AsyncGenerator[None, None]:
        """A place for the length of the block. left_s: seconds until the request's deadline. Raises TeacherFull."""
        if self._places.locked() or self.waiting:
            wait_s = self.wait_s
            if self.waiting >= self._queue or (left_s is not None and wait_s + self.typical_s > left_s):
                raise TeacherFull(self.waiting, wait_s)
        self.waiting += 1
        try:
            await self._places.acquire()
        finally:
            self.waiting -= 1
        try:
            yield
        finally:
            self._places.release()

    def took(self, seconds: float) -> None:
        """An answer came after so long."""
        self.typical_s += (seconds - self.typical_s) * (WEIGHT if self.typical_s else 1.0)
