"""After an outage the last good level is back within seconds; limits per window are used and hardly run into. Virtual time."""

from __future__ import annotations

import asyncio
import random

import pytest

from distil.calls.config import Limits
from distil.calls.faults import FaultKind
from distil.calls.limits.gate import AdmissionGate
from tests.calls.simulated import Provider, crowd
from tests.calls.virtual import run_virtually


class Windowed(Provider):
    """`count` requests per `length` seconds, in fixed windows (the run starts at a share of one) or sliding ones."""

    def __init__(self, count: int, length: float, *, sliding: bool, start: float = 0.0) -> None:
        super().__init__()
        self.count, self.length, self.sliding, self.start = count, length, sliding, start * length
        self.times: list[float] = []

    def _takes(self, now: float) -> bool:
        begin = now - self.length if self.sliding else (now + self.start) // self.length * self.length - self.start
        self.times = [at for at in self.times if at > begin or (at == begin and not self.sliding)]
        if len(self.times) >= self.count:
            return False
        self.times.append(now)
        return True


@pytest.mark.parametrize("sliding", [False, True], ids=["fixed", "sliding"])
@pytest.mark.parametrize(("count", "length", "start"), [(600, 60, 0.0), (100, 10, 0.0), (50, 5, 0.0), (100, 10, 0.8)])
def test_a_limit_per_window_is_used_and_kept(count: int, length: float, start: float, sliding: bool) -> None:
    provider = Windowed(count, length, sliding=sliding, start=start)
    seconds = (3 if length > 30 else 6) * length
    crowd(provider, seconds)
    assert provider.taken(2 * length, seconds) > 0.85 * count / length
    assert provider.refused_share(2 * length, seconds) < 0.05


def ask_all(
    prompts: int,
    *,
    down: tuple[float, float] = (0.0, 0.0),
    kind: FaultKind = "overload",
    noise: float = 0.0,
) -> float:
    """Virtual seconds for so many prompts at 200 ms, 200 at once, as the session asks them; all are refused while it is down."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        gate = AdmissionGate(Limits())
        chance = random.Random(1)
        numbers = iter(range(prompts))

        async def worker() -> None:
            for _ in numbers:
                refusals = tries = 0
                while True:
                    ticket = await gate.enter(1, 1, retry=tries > 0)
                    await gate.go(ticket)
                    bad = down[0] <= loop.time() < down[1] or chance.random() < noise
                    await asyncio.sleep(0.003 if bad else 0.2)
                    gate.leave(ticket, kind if bad else None)
                    if not bad:
                        break
                    waits = gate.blocked
                    refusals, tries = refusals + (not waits), tries + 1
                    await asyncio.sleep(chance.random() * min(60.0, 0.25 * 2 ** (0 if waits else refusals)))

        await asyncio.gather(*[worker() for _ in range(432)])
        return loop.time()

    return run_virtually(main())


@pytest.mark.parametrize("begin", [0.0, 3.0])
def test_an_outage_of_three_seconds_costs_less_than_five(begin: float) -> None:
    assert ask_all(8000, down=(begin, begin + 3)) - ask_all(8000) < 5.0


def test_a_server_that_loads_its_model_is_used_once_it_is_up() -> None:
    """llama.cpp answers 503 `Loading model` while it loads: 14 s here, and 50 prompts took 69 s before."""
    assert ask_all(50, down=(0.0, 14.0)) < 17.0


def test_random_overloads_do_not_slow_the_run_down() -> None:
    assert ask_all(4000, noise=0.03) < 3 * ask_all(4000)
