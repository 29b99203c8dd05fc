"""Shared by all tests: no network beyond loopback, and the path of the real data if it is available."""

from __future__ import annotations

import gc
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# The tests hold on the CPU, to the bit; those that need a GPU are asked for: DISTIL_TEST_DEVICE=cuda pytest tests/cuda
if not os.environ.get("DISTIL_TEST_DEVICE", "").startswith("cuda"):
    os.environ["CUDA_VISIBLE_DEVICES"] = ""

# A background runner ignores Ctrl-C, and subprocesses inherit that; the tests of Ctrl-C need the default handler.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[1]
_connect = socket.socket.connect


def _loopback_only(self: socket.socket, address: tuple[object, ...]) -> None:
    if self.family in (socket.AF_INET, socket.AF_INET6):
        host = str(address[0])
        if not (host.startswith("127.") or host in ("localhost", "::1")):
            raise AssertionError(f"a test tried to reach {host}; tests use loopback servers only")
    _connect(self, address)


LONGEST = (
    "docs/test_commands.py", "train/test_sharding.py", "train/test_processes.py", "calls/test_kill.py", "docs/test_notebook.py",
    "docs/test_example.py", "bundled/test_server.py", "signals/test_stage.py", "doctor/test_checks.py",
)  # fmt: skip
"""Files that take longest. They begin, so that at the end no process waits for one that has several of them left."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Longest first; the others stay in their order."""
    items.sort(key=lambda item: not item.path.as_posix().endswith(LONGEST))


def pytest_collection_finish() -> None:
    """Each training collects garbage; with the modules and tests of the whole suite that would take a second each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that tries to reach the internet fails."""
    monkeypatch.setattr(socket.socket, "connect", _loopback_only)


@pytest.fixture
def data_dir() -> Callable[[str], Path]:
    """`data_dir("alpaca_eval/gpt4.jsonl")` -> its path; skips the test if the data is missing."""

    def find(relative: str) -> Path:
        folder = Path(os.environ.get("DISTIL_DATA", ROOT.parent / "shared" / "data"))
        if not (folder / relative).exists():
            pytest.skip(f"the real data {relative} is not under {folder} (set DISTIL_DATA)")
        return folder / relative

    return find


@pytest.fixture
def lab_dir() -> Callable[[str], Path]:
    """`lab_dir("smollm2/hf")` -> a real model or server fetched from PyPI; skips the test if it is missing."""

    def find(relative: str) -> Path:
        folder = os.environ.get("DISTIL_LAB")
        if folder is None or not (Path(folder) / relative).exists():
            pytest.skip(f"the real part {relative} is not there (set DISTIL_LAB; benchmarks/real.py fetches it)")
        return Path(folder) / relative

    return find
