"""A real process that buys a batch is killed with SIGKILL again and again; every row is still paid for exactly once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from distil.calls.batch.job import BatchRow
from distil.calls.batch.run import BatchRun
from distil.calls.ledger.store import Ledger
from tests.calls.batch.desk import MODELS, VENDORS, Desk, make_server
from tests.wire.server import Trouble

ROOT = Path(__file__).parents[3]
KILLS = 4
SCRIPT = """
import asyncio, sys
from pathlib import Path
from distil.calls.batch.job import BatchFolder, BatchRow
from distil.calls.batch import run
from distil.calls.batch.intake import BatchBudget
from distil.calls.batch.run import open_batches
from distil.calls.providers.catalog import open_teacher
from distil.calls.config import Price, TeacherConfig
from distil.calls.identity import endpoint_of, identify
from distil.calls.ledger.store import Ledger
from distil.calls.prices import price_of
from distil.calls.request import Request
from distil.records import Message

model, url, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
price = Price(input=1.0, output=4.0, batch_factor=0.5)
opened = open_teacher(TeacherConfig(model=model, base_urls=[url], price=price))
run.FIRST_POLL_S = 0.02
ledger, batch_folder = Ledger(folder / "ledger.sqlite"), BatchFolder(folder / "batches")

def rows():
    for n in range(12):
        request = Request(model=model, messages=[Message(role="user", content=f"question {n}.")])
        identity = identify(opened, request, endpoint_of(opened))
        stored = ledger.find(identity.key)
        if stored is None or not (stored.open or stored.call.status == "answered"):
            yield BatchRow(identity.key, 0, identity.wire.body, 0.01)

async def main():
    budget = BatchBudget(model, price_of(model, price, "batch"))
    async with open_batches(opened, ledger, batch_folder, budget) as batches:
        batches._max_rows = 5
        await batches.buy(rows())

asyncio.run(main())
ledger.close()
"""


@pytest.mark.parametrize("vendor", ["openai", "google"])
def test_every_row_is_bought_once_however_often_the_process_dies(vendor: str, tmp_path: Path) -> None:
    server = make_server(vendor)
    model, variable, key = MODELS[vendor]
    environ = os.environ | {variable: key}
    chance = random.Random(7)
    with server:
        server.delay_s = 0.01
        command = [sys.executable, "-c", SCRIPT, model, server.url, str(tmp_path)]
        for kill in range(KILLS + 1):
            process = subprocess.Popen(command, env=environ, cwd=ROOT, stderr=subprocess.PIPE)
            last = kill == KILLS
            if not last:
                _wait_for(process, lambda seen=len(server.seen) + chance.randint(1, 5): len(server.seen) >= seen)
                process.send_signal(signal.SIGKILL)
            _, error = process.communicate(timeout=60)
            assert not last or process.returncode == 0, error.decode()
        paid = Counter(asked(body) for body in server.answered)
    assert paid == Counter({f"question {n}.": 1 for n in range(12)})
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert len(ledger.answered()) == 12 and ledger.uncertain().requests == 0


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # half of an upload in the loopback server
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("vendor", VENDORS)
def test_stopped_at_every_request_each_row_is_bought_once(
    vendor: str, after: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends at its first, second, ... request, before or after the server has done what it asks for."""
    monkeypatch.setattr("distil.calls.batch.run.FIRST_POLL_S", 0.01)
    with make_server(vendor) as server:
        desk = Desk(server, tmp_path, vendor)
        desk.desk.inline = False
        rows = [desk.row(f"question {n}.") for n in range(4)]
        stop_at, done = 0, False
        while not done:
            stop_at += 1
            assert stop_at < 60
            done = stopped(desk, rows, len(server.seen) + min(stop_at, 8), after)
        paid = Counter(asked(body) for body in server.answered)
        assert paid == Counter({f"question {n}.": 1 for n in range(4)})
        assert desk.unasked(rows) == [] and desk.batch_folder.jobs() == []


def stopped(desk: Desk, rows: list[Any], at: int, after: bool) -> bool:
    """Buys until the server gets request number `at`, and is gone then; True when all was done before."""
    hang = Trouble(200, {}, delay_s=2.0, after=after)
    desk.server.trouble_for = lambda seen: hang if len(desk.server.seen) >= at else None

    def later() -> Iterator[BatchRow]:
        yield from desk.unasked(rows)  # looked up after the open batches are taken in, as a collection does

    async def run(batches: BatchRun) -> bool:
        task = asyncio.create_task(batches.buy(later()))
        while not task.done() and len(desk.server.seen) < at:
            await asyncio.sleep(0.002)
        await asyncio.wait({task}, timeout=0.02)
        if task.done():
            await task
            return True
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return False

    finished = []

    async def noted(batches: BatchRun) -> None:
        finished.append(await run(batches))

    desk.go(noted)
    return finished[0]


def asked(body: dict[str, Any]) -> str:
    """The question in a request's body."""
    return str(body["contents"][0]["parts"][0]["text"] if "contents" in body else body["messages"][0]["content"])


def _wait_for(process: subprocess.Popen[bytes], reached: object) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None and not reached():  # type: ignore[operator]
        time.sleep(0.002)
