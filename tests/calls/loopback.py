"""Starts benchmarks/loopback.py as a process of its own, so that the server's work is not the client's."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any, Self

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "loopback.py"


class LoopbackProcess:
    """`with LoopbackProcess("--at-once", "37") as server: server.model`."""

    def __init__(self, *options: str) -> None:
        self._process = subprocess.Popen([sys.executable, str(SCRIPT), *options], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{self._process.stdout.readline().split()[1]}/v1"

    @property
    def model(self) -> str:
        """Its name in a config."""
        return f"{self.url}#m"

    def counts(self) -> dict[str, Any]:
        """What it saw so far."""
        with urllib.request.urlopen(self.url.removesuffix("/v1") + "/counts") as reply:
            return dict(json.load(reply))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
