"""Stopped at any request, or killed with SIGKILL, a job is created once and each file is sent once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from distil.errors import DistilError
from tests.calls.fine_tuning.shop import Shop
from tests.wire.fine_tuning import BASES
from tests.wire.server import Trouble

ROOT = Path(__file__).parents[3]
KILLS = 2
SCRIPT = """
import sys
from distil.calls.fine_tuning import run as steps
from distil.models.config import StudentConfig
from distil.runs.artifacts import Project
from distil.train.config import TrainConfig
from distil.train.provider.stage import run
steps.FIRST_POLL_S = 0.02
provider, base, folder, price = sys.argv[1:]
section = TrainConfig.model_validate({"usd_per_million_tokens": float(price) if price else None})
run(Project(folder), section, StudentConfig(model=base), name="tuned", provider=provider, agree=lambda question: True)
"""


class Stopped(Exception):
    """The process is gone."""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # half of an upload in the server
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("vendor", ["together", "fireworks", "azure", "openai"])
def test_stopped_at_every_request(vendor: str, after: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run ends at its first, second, ... request, before or after the server has done what it asks for."""
    monkeypatch.setattr("distil.calls.fine_tuning.run.FIRST_POLL_S", 0.002)
    shop = Shop(vendor, tmp_path)
    with shop.server:
        for stop_at in range(1, 60):
            last = len(shop.server.seen) + min(stop_at, 12)
            if stopped(shop, last, after, monkeypatch):
                break
        else:
            pytest.fail("it never came to an end")
        shop.server.trouble_for = None
    assert len(shop.server.jobs) == 1 and len(shop.server.orders) == 1
    assert len(shop.server.files) == 2
    with shop.ledger() as ledger:
        assert ledger.spent("train") == pytest.approx(shop.job().usd)
        assert ledger.uncertain().requests == 0 and ledger.totals("train")[0].calls == 1


def stopped(shop: Shop, at: int, after: bool, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Runs until the server gets request number `at`, and is gone then; True when all was done before."""
    from distil.calls.batch.net import Http

    shop.server.trouble_for = lambda seen: Trouble(200, {}, after=after) if len(shop.server.seen) >= at else None
    send = Http._send

    def cut(http: Http, method: str, url: str, **content: object) -> object:
        context = send(http, method, url, **content)

        class Cut:
            async def __aenter__(self) -> object:
                reply = await context.__aenter__()
                if len(shop.server.seen) >= at:
                    await context.__aexit__(None, None, None)
                    raise Stopped
                return reply

            async def __aexit__(self, *error: object) -> None:
                await context.__aexit__(*error)

        return Cut()

    with monkeypatch.context() as patch:
        patch.setattr(Http, "_send", cut)
        try:
            shop.run()
        except Stopped:
            return False
    return True


@pytest.mark.parametrize("vendor", ["together"])
def test_killed_again_and_again(vendor: str, tmp_path: Path) -> None:
    shop = Shop(vendor, tmp_path)
    chance = random.Random(11)
    with shop.server:
        environ = os.environ | shop.server.environ
        price = "" if shop.priced else "2.0"
        command = [sys.executable, "-c", SCRIPT, shop.provider, BASES[shop.provider], str(tmp_path), price]
        for kill in range(KILLS + 1):
            before = len(shop.server.seen)
            process = subprocess.Popen(command, env=environ, cwd=ROOT, stderr=subprocess.PIPE)
            if kill < KILLS:
                wait_for(process, shop, before + chance.randint(1, 4))
                process.send_signal(signal.SIGKILL)
            _, error = process.communicate(timeout=60)
            if process.returncode == 0:
                break
        assert process.returncode == 0, error.decode()
    assert len(shop.server.jobs) == 1 and len(shop.server.files) == 2
    with shop.ledger() as ledger:
        assert ledger.spent("train") == pytest.approx(shop.job().usd) and ledger.uncertain().requests == 0


def wait_for(process: subprocess.Popen[bytes], shop: Shop, requests: int) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None and len(shop.server.seen) < requests:
        time.sleep(0.002)


@pytest.mark.parametrize("vendor", ["together", "fireworks", "azure", "openai"])
def test_lost_replies_make_no_second_job(vendor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every POST is done and answered with a page of a proxy."""
    monkeypatch.setattr("distil.calls.fine_tuning.run.FIRST_POLL_S", 0.002)
    shop = Shop(vendor, tmp_path)
    lost = Trouble(502, b"<html>bad gateway</html>", after=True)
    posts = ("/files", "/upload", ":upload", "/jobs", "/fine-tunes", "JobsX", "supervisedFineTuningJobs")
    once: set[str] = set()

    def lose(seen: object) -> Trouble | None:
        path, method = getattr(seen, "path"), getattr(seen, "method")  # noqa: B009
        if method == "POST" and path.endswith(posts) and path not in once:
            once.add(path)
            return lost
        return None

    shop.server.trouble_for = lose
    with shop.server:
        try:
            shop.run()
        except DistilError as error:
            pytest.fail(str(error))
    assert once and len(shop.server.jobs) == 1 and len(shop.server.files) == 2
