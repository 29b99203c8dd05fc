"""kill -9 at any moment: every reply that came whole is kept, nothing in the ledger is asked again, the rest is said."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from distil.calls.ledger.store import Ledger
from distil.calls.providers.chat import CompatibleProvider
from tests.calls.loopback import LoopbackProcess

KILLS = 20
PROMPTS = 5000


def test_twenty_kills_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    path, log = tmp_path / "ledger.sqlite", tmp_path / "handed over"
    chance = random.Random(20)
    kept: set[str] = set()
    asked_before = 0
    killed = 0
    with LoopbackProcess("--latency", "0.05", "--jitter", "0.9", "--faults", "0.1", "--log", "--count") as server:
        command = [sys.executable, str(Path(__file__).with_name("collecting.py"))]
        arguments = [str(path), server.model, str(PROMPTS), str(log)]
        with subprocess.Popen(
            [*command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as nursery:
            assert nursery.stdin is not None and nursery.stdout is not None
            for number in range(KILLS + 1):
                print(file=nursery.stdin, flush=True)
                pid = int(nursery.stdout.readline())
                if number < KILLS:
                    time.sleep(chance.uniform(0.1, 0.9))
                    with contextlib.suppress(ProcessLookupError):  # it had asked everything and ended before
                        os.kill(pid, signal.SIGKILL)
                status = int(nursery.stdout.readline())
                killed += status == -signal.SIGKILL
                assert status in (0, -signal.SIGKILL)
                seen = server.counts()
                asked_now = seen["asked"][asked_before:]
                asked_before = len(seen["asked"])
                assert not kept & set(asked_now), "asked again although its reply was in the ledger"
                kept = prompts_in(path)
                handed_over = log.read_text().splitlines() if log.exists() else []
                assert set(handed_over) <= kept, "a reply was handed over before it was durable"
            nursery.stdin.close()
            nursery.wait(10)
        assert killed > KILLS // 2, "the processes ended before they could be killed"
        time.sleep(0.2)
        answered = Counter(server.counts()["answered"])
    assert kept == {f"prompt {number}" for number in range(PROMPTS)}
    with Ledger(path) as ledger:
        paid_without_an_answer = sum(answered.values()) - PROMPTS
        uncertain = ledger.uncertain()
        assert 0 <= paid_without_an_answer <= uncertain.requests
        assert uncertain.usd > 0
        # At most what was in flight (40, and 20% ahead) at each kill, and what timed out or was cut off since.
        assert sum(kind == "crashed" for _, _, kind, _, _ in ledger.attempts()) <= KILLS * 48


def prompts_in(path: Path) -> set[str]:
    """Prompts whose whole reply is in the ledger, read as a newly started process reads it."""
    provider = CompatibleProvider("m", "http://127.0.0.1/v1", None)
    found = set()
    with Ledger(path) as ledger:
        for key in ledger.answered():
            request, reply = ledger.body(key)
            prompt = request["messages"][-1]["content"]
            assert provider.parse(200, {}, reply).text == f"answer to {prompt}"
            found.add(prompt)
    return found
