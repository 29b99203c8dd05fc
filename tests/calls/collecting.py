"""A process that collects and is killed: forks a fresh one for each line on its standard input, and prints its pid.

    python collecting.py LEDGER MODEL COUNT LOG

Forking from a process that has everything imported makes twenty starts cheap; each child is a process of its own, killed by
the test at any moment. LOG gets a line for each reply that the client handed over.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys

import aiohttp  # noqa: F401  imported before the fork

from distil.calls.client import Client
from distil.calls.config import Limits, Price, TeacherConfig
from distil.calls.providers import chat  # noqa: F401  imported before the fork
from distil.calls.request import Reply, Request
from distil.records import Message, Sampling


async def collect(ledger: str, model: str, count: int, log: str) -> None:
    teacher = TeacherConfig(
        model=model, price=Price(input=1, output=2), limits=Limits(concurrency=40), timeout_s=1.0, attempts=50
    )
    sampling = Sampling(max_tokens=50)
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    async with Client(ledger, [teacher]) as client:
        requests = (
            (
                number,
                Request(model=model, messages=[Message(role="user", content=f"prompt {number}")], sampling=sampling),
            )
            for number in range(count)
        )
        async for number, result in client.map(requests):
            assert isinstance(result, Reply), result
            os.write(file, f"prompt {number}\n".encode())


def main() -> None:
    ledger, model, count, log = sys.argv[1:]
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            random.seed()
            asyncio.run(collect(ledger, model, int(count), log))
            os._exit(0)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
