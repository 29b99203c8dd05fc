"""A real process that buys a batch is killed with SIGKILL again and again; every row is still paid for exactly once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from distil.calls.ledger.store import Ledger
from tests.wire import anthropic, openai
from tests.wire.anthropic import AnthropicServer
from tests.wire.openai import OpenAIServer

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


@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
def test_every_row_is_bought_once_however_often_the_process_dies(vendor: str, tmp_path: Path) -> None:
    server = OpenAIServer() if vendor == "openai" else AnthropicServer()
    model = "openai/gpt-4o-mini" if vendor == "openai" else "anthropic/claude-haiku-4-5"
    environ = os.environ | {"OPENAI_API_KEY": openai.KEY, "ANTHROPIC_API_KEY": anthropic.KEY}
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
        paid = Counter(body["messages"][0]["content"] for body in server.answered)
    assert paid == Counter({f"question {n}.": 1 for n in range(12)})
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert len(ledger.answered()) == 12 and ledger.uncertain().requests == 0


def _wait_for(process: subprocess.Popen[bytes], reached: object) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None and not reached():  # type: ignore[operator]
        time.sleep(0.002)
