"""A teacher in a separate process starts, answers, and never outlives its parent."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from distil.bundled.server import teacher_server
from distil.errors import WorkFailed
from tests import warm
from tests.tiny import save_tiny


def test_a_server_answers_and_stops_after_the_block(tmp_path: Path) -> None:
    with warm.started(), teacher_server(str(save_tiny(tmp_path / "tiny")), name="small") as url:
        base, _, name = url.partition("#")
        assert name == "small"
        body = {"model": name, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 3}
        request = urllib.request.Request(
            f"{base}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as reply:
            assert json.load(reply)["usage"]["completion_tokens"] <= 3
    with pytest.raises(OSError):
        urllib.request.urlopen(f"{base}/models", timeout=5)


def test_a_server_that_cannot_start_reports_why(tmp_path: Path) -> None:
    with warm.started(), pytest.raises(WorkFailed, match="nowhere"), teacher_server(str(tmp_path / "nowhere")):
        pytest.fail("it started")


def test_a_server_exits_when_its_parent_is_killed(tmp_path: Path) -> None:
    model = save_tiny(tmp_path / "tiny")
    code = (
        "import sys, time; from distil.bundled.server import teacher_server\n"
        f"with teacher_server({str(model)!r}) as url: print(url, flush=True); time.sleep(600)"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    parent = subprocess.Popen([warm.executable(), "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
    assert parent.stdout is not None
    base = parent.stdout.readline().partition("#")[0]
    assert base.startswith("http")
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{base}/models", timeout=5).close()
        except OSError:
            return
        time.sleep(0.2)
    pytest.fail("the server outlived its parent")
