"""The gate: retries first, nobody polls, what a reply's headers say is followed, Retry-After is kept. In virtual time."""

from __future__ import annotations

import asyncio

import pytest

from distil.calls.config import Limits
from distil.calls.limits.bucket import Bucket, per_second
from distil.calls.limits.gate import AdmissionGate
from distil.calls.limits.pace import AdaptiveLimit
from distil.calls.providers.base import Window
from tests.calls.virtual import run_virtually


async def passed(
    gate: AdmissionGate, log: list[tuple[str, float]], name: str, *, retry: bool = False, tokens: int = 1
) -> None:
    entry = await gate.enter(tokens, 0, retry=retry)
    await gate.go(entry)
    log.append((name, asyncio.get_running_loop().time()))
    await asyncio.sleep(0.5)
    gate.leave(entry, None)


def test_retries_go_before_new_work() -> None:
    async def main() -> list[str]:
        gate = AdmissionGate(Limits(concurrency=1))
        log: list[tuple[str, float]] = []
        tasks = [asyncio.create_task(passed(gate, log, f"new {number}")) for number in range(5)]
        await asyncio.sleep(0.1)
        tasks.append(asyncio.create_task(passed(gate, log, "retry", retry=True)))
        await asyncio.gather(*tasks)
        return [name for name, _ in log]

    order = run_virtually(main())
    assert order.index("retry") == 1


def test_requests_a_minute_are_spread_with_a_second_of_burst() -> None:
    async def main() -> list[float]:
        gate = AdmissionGate(Limits(requests_per_minute=120))
        log: list[tuple[str, float]] = []
        await asyncio.gather(*[passed(gate, log, "") for _ in range(30)])
        return [at for _, at in log]

    times = run_virtually(main())
    for start in times:
        assert sum(start <= at < start + 1 for at in times) <= 4
    assert times[-1] == pytest.approx((30 - 3) / 2, abs=0.6)


def test_tokens_are_charged_by_estimate_and_corrected_by_usage() -> None:
    async def main() -> list[float]:
        gate = AdmissionGate(Limits(tokens_per_minute=6000))
        log: list[float] = []

        async def one() -> None:
            entry = await gate.enter(100, 100)
            await gate.go(entry)
            log.append(asyncio.get_running_loop().time())
            gate.leave(entry, None)
            gate.settle(entry, 50, 50)

        for _ in range(20):
            await one()
        return log

    times = run_virtually(main())
    assert times[-1] == pytest.approx(18.0, abs=1.0), "2000 tokens were used, at 100 a second"


def test_an_announced_limit_holds_from_the_first_reply() -> None:
    async def main() -> float:
        gate = AdmissionGate(Limits())
        loop = asyncio.get_running_loop()
        entry = await gate.enter(1, 1)
        await gate.go(entry)
        gate.leave(entry, None, {"requests": Window(600, 599, 0.1)})
        assert gate.rate_limit == 10.0
        log: list[tuple[str, float]] = []
        start = loop.time()
        await asyncio.gather(*[passed(gate, log, "") for _ in range(101)])
        return log[-1][1] - start

    assert run_virtually(main()) == pytest.approx(9.0, abs=1.1)


def test_a_limit_per_day_is_not_one_per_minute() -> None:
    assert per_second(600, 599, 0.1) == 10.0
    assert per_second(200, 199, 432.0) is None
    assert per_second(-1, None, None) is None
    assert per_second(600, None, None) == 10.0

    async def main() -> float:
        gate = AdmissionGate(Limits())
        entry = await gate.enter(1, 1)
        await gate.go(entry)
        gate.leave(entry, None, {"requests": Window(200, 0, 7200.0)})
        log: list[tuple[str, float]] = []
        await passed(gate, log, "")
        return log[0][1]

    assert run_virtually(main()) == pytest.approx(7200.0, abs=1)


def test_a_long_retry_after_holds_all_requests() -> None:
    async def main() -> float:
        gate = AdmissionGate(Limits(requests_per_minute=60_000))
        entry = await gate.enter(1, 1)
        await gate.go(entry)
        gate.leave(entry, "rate_limit", {"requests": Window(600_000)}, retry_after_s=20.0)
        assert gate.rate_limit is not None and gate.rate_limit <= 1000.0
        log: list[tuple[str, float]] = []
        await passed(gate, log, "")
        return log[0][1]

    assert run_virtually(main()) == pytest.approx(20.0, abs=0.5)


def test_closing_stops_waiting_and_new_requests_only() -> None:
    async def main() -> list[str]:
        gate = AdmissionGate(Limits(concurrency=1))
        log: list[tuple[str, float]] = []
        tasks = [asyncio.create_task(passed(gate, log, str(number))) for number in range(3)]
        await asyncio.sleep(0.1)
        gate.close(RuntimeError("stop"))
        results = await asyncio.gather(*tasks, passed(gate, log, "late"), return_exceptions=True)
        assert [type(result) for result in results] == [type(None), RuntimeError, RuntimeError, RuntimeError]
        return [name for name, _ in log]

    assert run_virtually(main()) == ["0"]


def test_cancelled_requests_give_their_places_back() -> None:
    async def main() -> int:
        gate = AdmissionGate(Limits(concurrency=2))
        log: list[tuple[str, float]] = []

        async def hold() -> None:
            entry = await gate.enter(1, 1)
            try:
                await gate.go(entry)
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                if entry.on_wire:
                    gate.abandon(entry)
                raise

        tasks = [asyncio.create_task(hold()) for _ in range(10)]
        await asyncio.sleep(1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*[passed(gate, log, "") for _ in range(4)])
        return gate.in_flight + gate._preparing

    assert run_virtually(main()) == 0


def test_the_breaker_lets_one_through_beside_hanging_ones() -> None:
    async def main() -> tuple[int, int]:
        gate = AdmissionGate(Limits(concurrency=8))
        log: list[tuple[str, float]] = []

        async def hang() -> None:
            await gate.go(await gate.enter(1, 1))

        await asyncio.gather(*[hang() for _ in range(4)])
        gate.try_one(5.0)
        tasks = [asyncio.create_task(passed(gate, log, "")) for _ in range(3)]
        await asyncio.sleep(4.9)
        before = len(log)
        await asyncio.sleep(0.3)
        during = len(log)
        gate.try_all()
        await asyncio.gather(*tasks)
        return before, during

    assert run_virtually(main()) == (0, 1)


def test_a_bucket_owes_the_same_after_its_rate_has_changed() -> None:
    bucket = Bucket(10.0, now=0.0, burst_s=0.0)
    bucket.take(10, 0.0)
    assert bucket.ready_at(0.0) == pytest.approx(1.0)
    bucket.set_rate(5.0, 0.0)
    assert bucket.ready_at(0.0) == pytest.approx(2.0)


def test_a_gate_says_why_nothing_is_sent() -> None:
    async def main() -> str | None:
        gate = AdmissionGate(Limits())
        entry = await gate.enter(1, 1)
        await gate.go(entry)
        assert gate.waiting is None
        gate.leave(entry, None, {"requests": Window(200, 0, 433.0)})
        waiting = asyncio.create_task(gate.enter(1, 1))
        await asyncio.sleep(0)
        why = gate.waiting
        waiting.cancel()
        return why

    assert run_virtually(main()) == "the provider asked for 7m13s (requests per hour or day)"


def test_a_learned_rate_above_what_can_be_sent_is_not_shown() -> None:
    law = AdaptiveLimit(200)
    mark = law.sent(0.0, 1)
    law.accepted(mark, 0.2, busy=True)
    law.rate = 8.8e12
    assert not law.rate_binds
    law.rate = 10.0
    assert law.rate_binds
