"""How long one request may take: student and teacher share it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

from distil.serve.wire import BadRequest, EngineFailed

HEADER = "x-distil-deadline-s"
"""With which a client asks for less than the gateway's own deadline."""
STUDENT_SHARE = 0.5
"""Of the time that is left, where a teacher can answer after it."""


class Deadline:
    """Runs from its making. seconds None: it never ends."""

    def __init__(self, seconds: float | None) -> None:
        self._clock = asyncio.get_running_loop().time
        self._ends = None if seconds is None else self._clock() + seconds

    @property
    def left_s(self) -> float | None:
        """Seconds that are left, at least 0; None: no end."""
        return None if self._ends is None else max(0.0, self._ends - self._clock())

    def for_student(self, *, alone: bool) -> AbstractAsyncContextManager[None]:
        """The student's part of it. alone: nobody answers after it. Raises EngineFailed (504) when it is over."""
        left_s = self.left_s
        return nullcontext() if left_s is None else _within(left_s if alone else left_s * STUDENT_SHARE)


@asynccontextmanager
async def _within(seconds: float) -> AsyncGenerator[None, None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        error = EngineFailed("The student did not answer in time.", status=504)
        error.retry_after_s = 1
        raise error from None


def asked_deadline(headers: Mapping[str, str], most: float | None) -> float | None:
    """The deadline of a request: the gateway's, or less where the client asks for it. Raises BadRequest."""
    given = headers.get(HEADER)
    if given is None:
        return most
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:  # also NaN
        raise BadRequest(f"{HEADER} is {given[:40]!r}, expected a number of seconds above 0.", param=HEADER)
    return seconds if most is None else min(seconds, most)
