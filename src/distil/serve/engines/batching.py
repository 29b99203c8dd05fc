"""Gathers requests that arrive at the same time, so that one worker thread answers them in one go.

Not the model: `work` takes a list of items and returns as many results. Called by local.py.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, TypeVar

from distil.serve.wire import EngineFailed, Overloaded

Item = TypeVar("Item")
Result = TypeVar("Result")

QUIET_S = 0.006  # a batch starts when nothing has arrived for so long,
EXPECTING_QUIET_S = 0.04  # or for so long while fewer wait than the last batch held,
REPLY_S = 0.002  # counted from when each of its answers can have gone out,
LONGEST_GATHER_S = 0.4  # or after so long in any case


class Batcher(Generic[Item, Result]):
    """Collects items and hands lists of at most `size` with one `key` to `work` on its own thread.

    A batch starts at once when `size` items wait. Otherwise it waits for a short quiet, so that the clients of the last batch,
    who all ask again at about the same time, meet in one batch again instead of splitting into small ones.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Sequence[Result | Exception]],
        *,
        size: int,
        queue: int,
        key: Callable[[Item], Hashable],
        limit: Callable[[Item], int] = lambda item: 1 << 30,
    ) -> None:
        self._work, self._size, self._queue, self._key, self._limit = work, size, queue, key, limit
        self._waiting: list[tuple[Item, asyncio.Future[Result], asyncio.AbstractEventLoop]] = []
        self._changed = threading.Condition()
        self._last_arrival = 0.0
        self._answered_at = 0.0
        self._last_size = 0
        self._stopping = False
        self._thread: threading.Thread | None = None
        self.batches = 0
        self.items = 0

    def start(self) -> None:
        """Starts the worker thread."""
        self._thread = threading.Thread(target=self._run, name="distil-batches", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Lets the running batch finish, fails what waits, and joins the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    @property
    def waiting(self) -> int:
        """Items that wait for a batch."""
        return len(self._waiting)

    async def submit(self, item: Item) -> Result:
        """The item's result. Raises Overloaded when too many wait, or what `work` gave for this item."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        with self._changed:
            if self._stopping:
                raise EngineFailed("The server is shutting down.", status=503)
            if len(self._waiting) >= self._queue:
                raise Overloaded(len(self._waiting))
            self._waiting.append((item, future, loop))
            self._last_arrival = time.monotonic()
            self._changed.notify_all()
        return await future

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            items = [item for item, _, _ in batch]
            results: Sequence[Any]
            try:
                results = self._work(items)
            except Exception as error:
                results = [error] * len(items)
            self.batches += 1
            self.items += len(items)
            by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Result], Any]]] = {}
            for (_, future, loop), result in zip(batch, results, strict=True):
                by_loop.setdefault(loop, []).append((future, result))
            for loop, settled in by_loop.items():
                loop.call_soon_threadsafe(_settle, settled)
            self._answered_at = time.monotonic()

    def _next(self) -> list[tuple[Item, asyncio.Future[Result], asyncio.AbstractEventLoop]] | None:
        with self._changed:
            while not self._waiting and not self._stopping:
                self._changed.wait()
            gather_until = time.monotonic() + LONGEST_GATHER_S
            while not self._stopping and len(self._waiting) < self._size:
                now = time.monotonic()
                quiet_at = self._last_arrival + QUIET_S
                if len(self._waiting) < self._last_size:  # those who were just answered are about to ask again
                    replying_until = self._answered_at + REPLY_S * self._last_size
                    quiet_at = max(self._last_arrival, replying_until) + EXPECTING_QUIET_S
                start_at = min(gather_until, quiet_at)
                if now >= start_at:
                    break
                self._changed.wait(start_at - now)
            if self._stopping:
                for _, future, loop in self._waiting:
                    error = EngineFailed("The server is shutting down.", status=503)
                    loop.call_soon_threadsafe(_settle, [(future, error)])
                self._waiting.clear()
                return None
            return self._take()

    def _take(self) -> list[tuple[Item, asyncio.Future[Result], asyncio.AbstractEventLoop]]:
        """The oldest item and those that can be answered with it; items whose client has gone are left out."""
        self._waiting = [entry for entry in self._waiting if not entry[1].done()]
        if not self._waiting:
            return []
        key = self._key(self._waiting[0][0])
        size = min(self._size, self._limit(self._waiting[0][0]))
        batch = [entry for entry in self._waiting if self._key(entry[0]) == key][:size]
        taken = {id(entry) for entry in batch}
        self._waiting = [entry for entry in self._waiting if id(entry) not in taken]
        self._last_size = len(batch)
        return batch


def _settle(settled: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, result in settled:
        if future.done():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
