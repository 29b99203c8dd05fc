"""Runs a function over lazily read streams, so many at a time, and yields results as they come. Knows nothing of models.

Workers pull from their stream, so 200,000 requests are never 200,000 tasks. A failure of one item is a result; an error that
ends the run stops the pulling, lets what is under way finish, and is raised at the end. Used by `Client.map`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence

from distil.calls.faults import CallFailed
from distil.calls.request import Reply, Request

Result = Reply | CallFailed
Ask = Callable[[Request], Awaitable[Reply]]


class _Stream:
    """One stream of requests, and its workers: one more is started when all are busy, up to `at_once`."""

    def __init__(self, requests: Iterable[Request], at_once: int) -> None:
        self.requests: Iterator[Request] = iter(requests)
        self.at_once = at_once
        self.workers = 0
        self.idle = 0


class _Flow:
    def __init__(self, ask: Ask, room: int) -> None:
        self._ask = ask
        # Bounded: a consumer that is slower than the provider holds the workers back instead of filling the memory.
        self.results: asyncio.Queue[tuple[Request, Result] | None] = asyncio.Queue(room)
        self.fatal: BaseException | None = None
        self.tasks: set[asyncio.Task[None]] = set()
        self.active = 0

    def add_worker(self, stream: _Stream) -> None:
        stream.workers += 1
        stream.idle += 1
        self.active += 1
        task = asyncio.get_running_loop().create_task(self._work(stream))
        self.tasks.add(task)

    async def _work(self, stream: _Stream) -> None:
        try:
            await self._pull(stream)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            # The first one tells why; those that follow only repeat it.
            self.fatal = self.fatal or error
        self.active -= 1
        if self.active == 0:
            await self.results.put(None)
        task = asyncio.current_task()
        assert task is not None
        self.tasks.discard(task)

    async def _pull(self, stream: _Stream) -> None:
        while self.fatal is None:
            request = next(stream.requests, None)
            if request is None:
                return
            stream.idle -= 1
            if stream.idle == 0 and stream.workers < stream.at_once:
                self.add_worker(stream)
            try:
                result: Result = await self._ask(request)
            except CallFailed as failure:
                result = failure
            await self.results.put((request, result))
            stream.idle += 1


async def run_all(
    ask: Ask, streams: Sequence[Iterable[Request]], at_once: int
) -> AsyncGenerator[tuple[Request, Result], None]:
    """Yields (request, reply or CallFailed); raises the error that ended the run after everything under way was yielded."""
    flow = _Flow(ask, room=2 * at_once)
    for stream in streams:
        flow.add_worker(_Stream(stream, at_once))
    try:
        while flow.active or not flow.results.empty():
            pair = await flow.results.get()
            if pair is None:
                break
            yield pair
    finally:
        left = list(flow.tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
    if flow.fatal is not None:
        raise flow.fatal
