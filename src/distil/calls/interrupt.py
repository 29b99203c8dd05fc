"""Ctrl-C while requests are on the wire: the first stops the asking and lets them finish, for they are paid; the second cuts.

Without it every request in flight is cut off, may be billed all the same, and counts against the cap. SIGTERM, with which
clusters and containers end a job, is taken in the same way. Used by `Client.map`.
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
    """Inside, the first SIGINT or SIGTERM calls `stop` in the event loop; it returns how many requests are on the wire.

    Does nothing outside the main thread, or where a signal is ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}

    def restore() -> None:
        for number, handler in before.items():
            if signal.getsignal(number) is first:
                signal.signal(number, handler)

    def ask_to_stop() -> None:
        waiting = stop()
        if waiting:
            plural = "answer is" if waiting == 1 else "answers are"
            sys.stderr.write(f"Stopping: {waiting:,} {plural} still on the way (Ctrl-C again to stop at once).\n")
            sys.stderr.flush()

    def first(number: int, frame: FrameType | None) -> None:
        restore()
        loop.call_soon_threadsafe(ask_to_stop)

    for number in before:
        signal.signal(number, first)
    try:
        yield
    finally:
        restore()
