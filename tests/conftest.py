"""What every test shares: no network beyond loopback, and the place of the real data where it is at hand."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# A runner in the background ignores Ctrl-C and hands that on; the tests of Ctrl-C need it as a person's terminal has it.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[1]
_connect = socket.socket.connect


def _loopback_only(self: socket.socket, address: Any) -> None:
    if self.family in (socket.AF_INET, socket.AF_INET6):
        host = str(address[0])
        if not (host.startswith("127.") or host in ("localhost", "::1")):
            raise AssertionError(f"a test tried to reach {host}; tests use loopback servers only")
    _connect(self, address)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that reaches for the internet fails loudly."""
    monkeypatch.setattr(socket.socket, "connect", _loopback_only)


@pytest.fixture
def data_dir() -> Callable[[str], Path]:
    """`data_dir("alpaca_eval/gpt4.jsonl")` -> its path, or a skip that says where the data was looked for."""

    def find(relative: str) -> Path:
        folder = Path(os.environ.get("DISTIL_DATA", ROOT.parent / "shared" / "data"))
        if not (folder / relative).exists():
            pytest.skip(f"the real data {relative} is not under {folder} (set DISTIL_DATA)")
        return folder / relative

    return find
