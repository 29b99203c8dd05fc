"""Minutes of mixed traffic through Distil's gateway: whether memory and open files stay as they are. For gateway.py --soak."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from pathlib import Path

from gateway_contenders import Running, distil
from gateway_load import Client, Connection

CLIENTS = 24
LEAVING = 0.1
"""Share of the requests whose client goes before the reply is whole."""
LOOK_S = 5.0
PAUSE_S = 0.05


def soak(folder: Path, url: str, core: int | None, minutes: float) -> None:
    """Prints a table: the first minute, then each tenth of the time."""
    with distil(folder, url, "student", core) as gateway, distil(folder, url, "teacher", core) as beside:
        for running, name in ((gateway, "student"), (beside, "teacher")):
            print(f"{name}: process {running.process.pid}, {running.rss_mib():.0f} MiB at the start", flush=True)
        asyncio.run(_all(gateway, beside, minutes * 60))


async def _all(student: Running, teacher: Running, seconds: float) -> None:
    counts: Counter[str] = Counter()
    end = time.monotonic() + seconds
    clients = [
        Client(running.url, prompt=prompt, stream=stream)
        for running in (student, teacher)
        for prompt, stream in (("short", False), ("long", True), ("long", False))
    ]
    work = [asyncio.create_task(_one(clients[n % len(clients)], counts, end, n)) for n in range(CLIENTS)]
    print("\n| minute | requests | failed | left | student MiB | student files | teacher MiB | teacher files |")
    print("|---|---|---|---|---|---|---|---|")
    started, shown = time.monotonic(), -1
    while time.monotonic() < end:
        await asyncio.sleep(min(LOOK_S, max(0.0, end - time.monotonic())))
        minute = int((time.monotonic() - started) / max(60.0, seconds / 10))
        if minute != shown:
            shown = minute
            print(
                f"| {(time.monotonic() - started) / 60:.1f} | {counts['answered']:,} | {counts['failed']} | {counts['left']} | "
                + " | ".join(f"{each.rss_mib():.0f} | {each.files()}" for each in (student, teacher))
                + " |",
                flush=True,
            )
    await asyncio.gather(*work)


async def _one(client: Client, counts: Counter[str], end: float, seed: int) -> None:
    drawn, connection = random.Random(seed), await client.connect()
    while time.monotonic() < end:
        leaves = drawn.random() < LEAVING
        try:
            whole = await _ask(client, connection, leaves, drawn.random() < 0.5)
        except (OSError, EOFError, TimeoutError, ValueError):
            whole = False
        counts["left" if leaves else "answered" if whole else "failed"] += 1
        if leaves or not whole:
            connection.close()
            connection = await client.connect()
        await asyncio.sleep(drawn.random() * 2 * PAUSE_S)
    connection.close()


async def _ask(client: Client, connection: Connection, leaves: bool, at_once: bool) -> bool:
    """One request; a client that leaves does so before the reply, or after its first bytes."""
    async with asyncio.timeout(60):
        if leaves and at_once:
            connection.writer.write(client.request())
            await asyncio.sleep(0.002)
            return True
        return await connection.ask(client.request(), leave_early=leaves)
