"""The breaker before the teacher, with a clock of its own, and the places with it."""

from __future__ import annotations

import asyncio

import pytest

from distil.serve.breaker import MAX_PAUSE_S, Breaker
from distil.serve.places import Places, TeacherFull


class Clock:
    """Moves when it is told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_some_failures_in_a_row_open_it_and_one_probe_closes_it() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    for _ in range(2):
        assert breaker.enter()
        breaker.failure()
    breaker.success()
    for _ in range(3):
        assert breaker.enter() and not breaker.open
        breaker.failure()
    assert breaker.open and not breaker.enter() and breaker.wait_s == 1.0
    clock.now = 1.0
    assert breaker.enter() and not breaker.enter(), "one probe"
    breaker.failure()
    clock.now = 2.9
    assert not breaker.enter(), "the pause has doubled"
    clock.now = 3.0
    assert breaker.enter()
    breaker.left()
    assert breaker.enter(), "the client of the probe has left: another probes"
    breaker.success()
    assert breaker.enter() and breaker.enter() and not breaker.open


def test_a_pause_is_bounded_and_as_long_as_the_teacher_asks() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    for _ in range(10):
        breaker.failure(for_all=True)
        assert breaker.wait_s <= MAX_PAUSE_S
        clock.now += breaker.wait_s
        assert breaker.enter()
    breaker.success()
    breaker.failure(for_all=True, asked_s=40.0)
    assert breaker.wait_s == 40.0
    clock.now += 10_000
    assert not breaker.failing, "a gateway that nobody has asked since is ready to try"


def test_late_failures_of_an_outage_say_nothing_new() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    for _ in range(50):  # all were sent before it opened
        breaker.failure()
    assert breaker.wait_s == 1.0


def test_who_cannot_be_answered_in_time_is_told_when_to_come() -> None:
    async def go() -> None:
        places = Places(1, 2)
        places.took(4.0)
        release = asyncio.Event()

        async def use(left_s: float | None) -> None:
            async with places.place(left_s):
                await release.wait()

        first = asyncio.create_task(use(None))
        await asyncio.sleep(0)
        with pytest.raises(TeacherFull) as caught:
            await use(7.0)  # waits 4 s and takes 4 s
        assert caught.value.status == 429 and caught.value.retry_after_s == 4
        waiting = [asyncio.create_task(use(60.0)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(TeacherFull) as caught:
            await use(None)  # two wait already
        assert caught.value.retry_after_s == 12
        waiting[0].cancel()
        release.set()
        await asyncio.gather(first, *waiting, return_exceptions=True)
        await asyncio.wait_for(use(0.5), 1)
        assert places.waiting == 0 and places.wait_s == 0

    asyncio.run(go())
