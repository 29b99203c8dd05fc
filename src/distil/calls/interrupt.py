"""Ctrl-C while requests are on the wire: the first stops the asking and lets them finish, for they are paid; the second cuts.

Without it every request in flight is cut off, may be billed all the same, and counts against the cap. Used by `Client.map`.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def patient(stop: Callable[[], int]) -> Iterator[None]:
    """Inside, the first SIGINT calls `stop` in the event loop; it returns how many requests are still on the wire.

    Does nothing outside the main thread, or where SIGINT is ignored.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    loop = asyncio.get_running_loop()

    def ask_to_stop() -> None:
        waiting = stop()
        if waiting:
            plural = "answer is" if waiting == 1 else "answers are"
            sys.stderr.write(f"Stopping: {waiting:,} {plural} still on the way (Ctrl-C again to stop at once).\n")
            sys.stderr.flush()

    def first(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        loop.call_soon_threadsafe(ask_to_stop)

    signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is first:
            signal.signal(signal.SIGINT, before)
