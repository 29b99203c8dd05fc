"""Gathers requests that arrive at the same time, so that one worker thread answers them together.

Not the model: `work` takes a list of items and returns as many results.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Generic, TypeVar

from distil import loops
from distil.errors import DistilError

Item = TypeVar("Item")
Result = TypeVar("Result")

QUIET_S = 0.006  # a batch starts when nothing has arrived for this long,
EXPECTING_QUIET_S = 0.04  # or for this long while fewer wait than the last batch held,
REPLY_S = 0.002  # counted from when each of its answers can have gone out,
MAX_GATHER_S = 0.4  # or after this long at the latest


class QueueFull(DistilError):
    """Too many items are waiting already."""


class BatcherStopped(DistilError):
    """The item came, or was still waiting, when the batcher stopped."""


class Batcher(Generic[Item, Result]):
    """Collects items of one event loop and hands lists of at most `size` with one `key` to `work` on a worker thread.

    A batch starts at once when `size` items wait. Otherwise it waits for a short quiet, so that the clients of the last batch,
    who all send their next request at about the same time, share a batch again instead of splitting into small ones.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Sequence[Result | Exception]],
        *,
        size: int,
        key: Callable[[Item], Hashable],
        capacity: int | None = None,
    ) -> None:
        self._work, self._size, self._key, self._capacity = work, size, key, capacity
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._worker = ThreadPoolExecutor(1, "distil-batches")
        self._drainer: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._last_arrival = self._answered_at = 0.0
        self._last_size = 0
        self._stopped = False
        self.batches = 0
        self.items = 0

    @property
    def waiting(self) -> int:
        """Items that wait for a batch."""
        return len(self._waiting)

    async def submit(self, item: Item) -> Result:
        """The item's result. Raises QueueFull when `capacity` items wait, BatcherStopped, or what `work` gave for this item."""
        if self._stopped:
            raise BatcherStopped
        if self._capacity is not None and len(self._waiting) >= self._capacity:
            raise QueueFull
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((item, future))
        self._last_arrival = time.monotonic()
        if self._drainer is None or self._drainer.done():
            self._wake = asyncio.Event()
            self._drainer = loop.create_task(self._drain())
        elif len(self._waiting) >= min(self._size, self._last_size):
            self._wake.set()  # the batch is full, or as large as the last one: no more are expected soon
        return await future

    async def stop(self) -> None:
        """Fails what waits and lets the running batch finish."""
        self._stopped = True
        for _, future in self._waiting:
            loops.settle(future, BatcherStopped())
        self._waiting.clear()
        self._wake.set()
        if self._drainer is not None:
            await self._drainer
        self._worker.shutdown()

    async def _drain(self) -> None:
        """Runs batches until nothing waits."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            await self._gather()
            batch = self._take()
            if not batch:
                continue
            items = [item for item, _ in batch]
            results: Sequence[Result | Exception]
            try:
                results = await loop.run_in_executor(self._worker, self._work, items)
            except Exception as error:
                results = [error] * len(items)
            self.batches += 1
            self.items += len(items)
            for (_, future), result in zip(batch, results, strict=True):
                loops.settle(future, result)
            self._answered_at = time.monotonic()

    async def _gather(self) -> None:
        """Returns when a batch should start."""
        gather_until = time.monotonic() + MAX_GATHER_S
        while 0 < len(self._waiting) < self._size:
            quiet_at = self._last_arrival + QUIET_S
            if len(self._waiting) < self._last_size:  # clients that just got an answer are about to send another
                replying_until = self._answered_at + REPLY_S * self._last_size
                quiet_at = max(self._last_arrival, replying_until) + EXPECTING_QUIET_S
            delay = min(gather_until, quiet_at) - time.monotonic()
            if delay <= 0:
                return
            self._wake.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), delay)

    def _take(self) -> list[tuple[Item, asyncio.Future[Result]]]:
        """The oldest item and those that can be answered with it; items whose client is gone are left out."""
        self._waiting = [entry for entry in self._waiting if not entry[1].done()]
        if not self._waiting:
            return []
        key = self._key(self._waiting[0][0])
        batch = [entry for entry in self._waiting if self._key(entry[0]) == key][: self._size]
        taken = {id(entry) for entry in batch}
        self._waiting = [entry for entry in self._waiting if id(entry) not in taken]
        self._last_size = len(batch)
        return batch
