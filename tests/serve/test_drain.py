"""A signal ends the gateway within its grace, whatever hangs; a second one ends it at once."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp

from distil.serve.server import LastResort
from tests.serve.running import chat_body

ROOT = Path(__file__).parents[2]


@contextmanager
def hanging_gateway(folder: Path, grace_s: float) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """(the process, its URL)."""
    command = [sys.executable, "-m", "tests.serve.drain", str(folder), str(grace_s)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().split()[1].partition("#")[0]
        finally:
            process.kill()


async def ask_then_signal(process: subprocess.Popen[str], url: str, signals: int) -> tuple[int, dict[str, str], str]:
    """What a request to the hanging teacher gets, with a signal (or two) while it waits; (0, {}, "") when it was cut off."""

    async def ask() -> tuple[int, dict[str, str], str]:
        try:
            async with session.post(f"{url}/chat/completions", json=chat_body("p=0.2 x")) as reply:
                return reply.status, {k.lower(): v for k, v in reply.headers.items()}, await reply.text()
        except aiohttp.ClientError:
            return 0, {}, ""

    async with aiohttp.ClientSession() as session:
        asked = asyncio.create_task(ask())
        await asyncio.sleep(1.0)
        for _ in range(signals):
            process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.3)
        return await asked


def test_a_drain_tells_those_who_wait_to_try_again(tmp_path: Path) -> None:
    with hanging_gateway(tmp_path, 3.0) as (process, url):
        status, headers, body = asyncio.run(ask_then_signal(process, url, 1))
        assert status == 503 and int(headers["retry-after"]) > 0 and "shutting down" in body
        assert process.wait(15) == 0


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with hanging_gateway(tmp_path, 300.0) as (process, url):
        asyncio.run(ask_then_signal(process, url, 2))
        assert process.wait(15) in (0, 1)


def test_what_does_not_end_is_ended() -> None:
    """A thread or a file system that hangs: the process ends all the same."""
    script = (
        "import time, threading\n"
        "from distil.serve.server import LastResort\n"
        "LastResort().ends_within(0.2)\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\n"
    )
    started = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=40, check=False, env=dict(os.environ)
    )
    assert ran.returncode == 1 and "the process is ended" in ran.stderr and time.monotonic() - started < 30
    resort = LastResort()
    resort.ends_within(0.05)
    resort.cancel()
    time.sleep(0.1)  # and this process goes on
