"""The loop under `Client.map`: runs a function over lazily read streams, so many calls at a time, and a patient Ctrl-C around it.

Workers pull from their stream, so 200,000 requests are never 200,000 tasks. A failure of one item is a result; an error that
ends the run stops the pulling, lets the calls in flight finish, and is raised at the end.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Generic, TypeVar

from distil.calls.faults import CallFailed, LedgerLost
from distil.calls.request import Reply, Request

Tag = TypeVar("Tag")
Result = Reply | CallFailed
Complete = Callable[[Request], Awaitable[Reply]]


class _Stream(Generic[Tag]):
    """One stream of requests, and its workers: one more is started when all are busy, up to `max_workers`."""

    def __init__(self, items: Iterable[tuple[Tag, Request]], max_workers: int) -> None:
        self.items: Iterator[tuple[Tag, Request]] = iter(items)
        self.max_workers = max_workers
        self.workers = 0
        self.idle = 0


class _Flow(Generic[Tag]):
    def __init__(self, complete: Complete, capacity: int) -> None:
        self._complete = complete
        # Bounded: a consumer that is slower than the provider holds the workers back instead of filling the memory.
        self.results: asyncio.Queue[tuple[Tag, Result] | None] = asyncio.Queue(capacity)
        self.fatal: BaseException | None = None
        self.stopped = False
        """Nobody takes results any more: nothing new is pulled, and what is in flight finishes for the ledger alone."""
        self.tasks: set[asyncio.Task[None]] = set()
        self.active = 0

    def add_worker(self, stream: _Stream[Tag]) -> None:
        stream.workers += 1
        stream.idle += 1
        self.active += 1
        self.tasks.add(asyncio.get_running_loop().create_task(self._work(stream)))

    async def _work(self, stream: _Stream[Tag]) -> None:
        try:
            await self._pull(stream)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            # The first error is the cause; those that follow only repeat it.
            self.fatal = self.fatal or error
            if isinstance(error, LedgerLost):
                self.fatal = error
                await self.results.put(None)  # now, and not after the others: nothing that comes can be kept
        self.active -= 1
        if self.active == 0:
            await self.results.put(None)
        task = asyncio.current_task()
        assert task is not None
        self.tasks.discard(task)

    async def _pull(self, stream: _Stream[Tag]) -> None:
        while self.fatal is None and not self.stopped:
            item = next(stream.items, None)
            if item is None:
                return
            tag, request = item
            stream.idle -= 1
            if stream.idle == 0 and stream.workers < stream.max_workers:
                self.add_worker(stream)
            try:
                result: Result = await self._complete(request)
            except CallFailed as failure:
                result = failure
            await self.results.put((tag, result))
            stream.idle += 1


async def run_all(
    complete: Complete, streams: Sequence[Iterable[tuple[Tag, Request]]], max_workers: int
) -> AsyncGenerator[tuple[Tag, Result], None]:
    """Yields (tag, Reply or CallFailed); raises the error that ended the run after every call in flight was yielded.

    Closed early, because its consumer failed, it still lets what is in flight finish: it is paid for, and the ledger keeps it.
    Only a cancellation cuts that off.
    """
    flow: _Flow[Tag] = _Flow(complete, capacity=2 * max_workers)
    for stream in streams:
        flow.add_worker(_Stream(stream, max_workers))
    try:
        while flow.active or not flow.results.empty():
            pair = await flow.results.get()
            if pair is None:
                break
            yield pair
    except GeneratorExit:
        flow.stopped = True
        while flow.active and await flow.results.get() is not None:
            pass
        raise
    finally:
        tasks = list(flow.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if flow.fatal is not None:
        raise flow.fatal


@contextmanager
def patient(stop: Callable[[], int]) -> Iterator[None]:
    """Inside, the first SIGINT or SIGTERM calls `stop` in the event loop; it returns the number of requests in flight.

    They finish, because they are paid for; cut off, they may be billed all the same and count against the cap. A second signal
    cuts them off. Clusters and containers end a job with SIGTERM. Does nothing outside the main thread, or where a signal is
    ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handlers = {number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}

    def restore() -> None:
        for number, handler in handlers.items():
            if signal.getsignal(number) is on_first:
                signal.signal(number, handler)

    def request_stop() -> None:
        in_flight = stop()
        if in_flight:
            plural = "answer is" if in_flight == 1 else "answers are"
            sys.stderr.write(f"Stopping: {in_flight:,} {plural} still on the way (Ctrl-C again to stop at once).\n")
            sys.stderr.flush()

    def on_first(number: int, frame: FrameType | None) -> None:
        restore()
        loop.call_soon_threadsafe(request_stop)

    for number in handlers:
        signal.signal(number, on_first)
    try:
        yield
    finally:
        restore()
