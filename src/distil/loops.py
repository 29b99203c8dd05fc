"""Running asynchronous work from ordinary functions, also where an event loop runs already, as in a notebook.

`distil.jobs` calls a job on a thread of its own there; a Ctrl-C then has to reach the loop that the job runs, which is why every
job starts its loop here.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
_running: dict[int, tuple[asyncio.AbstractEventLoop, asyncio.Task[object]]] = {}
"""Thread -> the loop that runs on it and the task that it runs."""


def run(work: Coroutine[object, object, T]) -> T:
    """asyncio.run, such that `beside` can cancel it."""

    async def known() -> T:
        task, thread = asyncio.current_task(), threading.get_ident()
        assert task is not None
        _running[thread] = (asyncio.get_running_loop(), task)
        try:
            return await work
        finally:
            del _running[thread]

    return asyncio.run(known())


def loop_is_running() -> bool:
    """Whether this thread is inside an event loop, where asyncio.run is refused."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def beside(job: Callable[[], T]) -> T:
    """Calls a job on a thread of its own and waits. KeyboardInterrupt cancels its loop; what the job raises then is raised."""
    started: list[int] = []

    def work() -> T:
        started.append(threading.get_ident())
        return job()

    with ThreadPoolExecutor(1, "distil-job") as pool:
        future = None
        try:
            future = pool.submit(work)
            return future.result()
        except KeyboardInterrupt:
            if future is None:
                raise
            found = _running.get(started[0]) if started else None
            if found is not None:
                loop, task = found
                loop.call_soon_threadsafe(task.cancel)
            return future.result()


def settle(future: asyncio.Future[T], result: T | Exception) -> None:
    """Gives a result, or what went wrong, to whoever waits for it; nothing where nobody does any more."""
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
