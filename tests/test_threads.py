"""Importing distil decides how threads wait, before torch is loaded, unless the environment has decided."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from distil import WAITING

SHOW = "import distil, json, os; print(json.dumps({name: os.environ.get(name) for name in distil.WAITING}))"


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({}, WAITING),
        ({"OMP_WAIT_POLICY": "active"}, {"OMP_WAIT_POLICY": "active", "GOMP_SPINCOUNT": None, "KMP_BLOCKTIME": None}),
        ({"GOMP_SPINCOUNT": "9"}, {"OMP_WAIT_POLICY": None, "GOMP_SPINCOUNT": "9", "KMP_BLOCKTIME": None}),
    ],
)
def test_threads_wait_passively_unless_told_otherwise(own: dict[str, str], expected: dict[str, str | None]) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in WAITING} | own
    shown = subprocess.run([sys.executable, "-c", SHOW], env=environment, capture_output=True, check=True, text=True)
    assert json.loads(shown.stdout) == expected


def test_sleeping_threads_use_no_processor() -> None:
    """What the runtime that torch has loaded does, not what the environment says."""
    code = (
        "import distil, time, torch; torch.set_num_threads(4); a = torch.rand(400, 400)\n"
        "for _ in range(20): a @ a; torch.exp(a)\n"
        "before = time.process_time(); time.sleep(0.5); print(time.process_time() - before)"
    )
    environment = {name: value for name, value in os.environ.items() if name not in (*WAITING, "OMP_NUM_THREADS")}
    shown = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True, text=True)
    assert float(shown.stdout) < 0.05
