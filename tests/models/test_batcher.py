"""Requests that come together share a batch, one error stays its own, and stopping loses nothing in silence."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence

import pytest

from distil.errors import WorkFailed
from distil.models.batcher import Batcher, BatcherStopped, QueueFull


def test_concurrent_items_with_one_key_share_a_batch() -> None:
    sizes: list[list[int]] = []

    def work(items: Sequence[int]) -> list[int | Exception]:
        sizes.append(list(items))
        return [item * 10 for item in items]

    async def go() -> list[int]:
        batcher: Batcher[int, int] = Batcher(work, size=8, capacity=100, key=lambda item: item % 2)
        found = await asyncio.gather(*(batcher.submit(i) for i in range(20)))
        await batcher.stop()
        return list(found)

    assert asyncio.run(go()) == [i * 10 for i in range(20)]
    assert all(len({item % 2 for item in batch}) == 1 and len(batch) <= 8 for batch in sizes)
    assert len(sizes) <= 6


def test_one_error_stays_its_own_and_a_full_queue_refuses() -> None:
    release = threading.Event()

    def work(items: Sequence[int]) -> list[int | Exception]:
        release.wait(5)
        return [WorkFailed("bad") if item == 1 else item for item in items]

    async def go() -> None:
        batcher: Batcher[int, int] = Batcher(work, size=2, capacity=2, key=lambda item: 0)
        first = [asyncio.create_task(batcher.submit(i)) for i in (0, 1)]
        while batcher.waiting or not batcher._last_size:
            await asyncio.sleep(0.005)
        second = [asyncio.create_task(batcher.submit(i)) for i in (2, 3)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFull):
            await batcher.submit(4)
        second[0].cancel()  # a client that went away is not generated for
        release.set()
        results = await asyncio.gather(*first, *second, return_exceptions=True)
        assert results[0] == 0 and isinstance(results[1], WorkFailed) and results[3] == 3
        assert isinstance(results[2], asyncio.CancelledError)
        await batcher.stop()
        with pytest.raises(BatcherStopped):
            await batcher.submit(5)

    asyncio.run(go())


def test_stopping_fails_what_is_still_waiting() -> None:
    started = threading.Event()

    def work(items: Sequence[int]) -> list[int | Exception]:
        started.set()
        time.sleep(0.05)
        return list(items)

    async def go() -> None:
        batcher: Batcher[int, int] = Batcher(work, size=1, capacity=9, key=lambda item: 0)
        first = asyncio.create_task(batcher.submit(0))
        await asyncio.to_thread(started.wait, 5)
        second = asyncio.create_task(batcher.submit(1))
        await asyncio.sleep(0)
        await batcher.stop()
        assert await first == 0
        with pytest.raises(BatcherStopped):
            await second

    asyncio.run(go())
