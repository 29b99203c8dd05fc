"""A provider with hidden limits in virtual time, and a crowd of requests that goes through a real Gate to it."""

from __future__ import annotations

import asyncio
import random

from distil.calls.config import Limits
from distil.calls.limits.gate import AdmissionGate
from tests.calls.virtual import run_virtually


class Provider:
    """Refuses more than `at_once`, and more than `rate` a second (a token bucket of size `burst`), in 3 ms."""

    def __init__(
        self,
        *,
        at_once: int = 0,
        rate: float = 0.0,
        burst: float = 1.0,
        latency: float = 0.2,
        jitter: float = 0.3,
        noise: float = 0.0,
        seed: int = 1,
    ) -> None:
        self.at_once, self.rate, self.burst, self.latency, self.jitter, self.noise = (
            at_once,
            rate,
            burst,
            latency,
            jitter,
            noise,
        )
        self.level, self.level_at = burst, 0.0
        self.in_flight = 0
        self.log: list[tuple[float, bool]] = []
        self.random = random.Random(seed)

    async def ask(self) -> bool:
        now = asyncio.get_running_loop().time()
        taken = self._takes(now)
        self.log.append((now, taken))
        if not taken:
            await asyncio.sleep(0.003)
            return False
        self.in_flight += 1
        await asyncio.sleep(self.latency * (1 + self.jitter * (self.random.random() * 2 - 1)))
        self.in_flight -= 1
        await asyncio.sleep(0.001)
        return True

    def _takes(self, now: float) -> bool:
        if self.at_once and self.in_flight >= self.at_once:
            return False
        if self.rate:
            self.level = min(self.burst, self.level + (now - self.level_at) * self.rate)
            self.level_at = now
            if self.level < 1:
                return False
            self.level -= 1
        return self.random.random() >= self.noise

    def taken(self, start: float, end: float) -> float:
        """Requests a second that were taken in [start, end)."""
        return sum(taken for at, taken in self.log if start <= at < end) / (end - start)

    def refused_share(self, start: float, end: float) -> float:
        """Share of the requests in [start, end) that were refused."""
        during = [taken for at, taken in self.log if start <= at < end]
        return 1 - sum(during) / len(during) if during else 0.0


def crowd(provider: Provider, seconds: float, limits: Limits | None = None) -> AdmissionGate:
    """More requests than the provider can take, for so long in virtual time, each retried with jitter until it is taken."""

    async def main() -> AdmissionGate:
        loop = asyncio.get_running_loop()
        gate = AdmissionGate(limits or Limits())
        chance = random.Random(2)

        async def worker() -> None:
            while loop.time() < seconds:
                tries = 0
                while True:
                    entry = await gate.enter(1, 1, retry=tries > 0)
                    await gate.go(entry)
                    taken = await provider.ask()
                    gate.leave(entry, None if taken else "rate_limit")
                    if taken:
                        break
                    tries += 1
                    await asyncio.sleep(chance.random() * min(30.0, 0.25 * 2**tries))

        workers = [asyncio.create_task(worker()) for _ in range(432)]
        await asyncio.sleep(seconds)
        for one in workers:
            one.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        return gate

    return run_virtually(main())
