"""A process that noted itself in a file: alive only while it is the same one, on this machine."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from distil.runs.processes import this_process
from distil.runs.schemas.gateway_state import GatewayState
from distil.runs.schemas.training_run import TrainingRun

ENDED = subprocess.Popen([sys.executable, "-c", ""])
ENDED.wait()


def state(**changes: object) -> GatewayState:
    """A gateway of this process."""
    values = {
        "student": "sft", **this_process()._asdict(), "mode": "calibrated", "threshold": 0.8, "stopped": False,
        "started": "", "updated": "", "by_student": 0, "by_teacher": 0, "eligible": 0, "errors": 0, "reasons": {},
        "live": None, "drift": [],
    }  # fmt: skip
    return GatewayState.model_validate(values | changes)


def test_this_process_is_alive() -> None:
    assert this_process().alive and state().running
    assert not state(stopped=True).running


@pytest.mark.parametrize(
    "changes",
    [
        {"pid": ENDED.pid},
        {"pid": 2**80},
        {"host": "the container before"},
        {"host": ""},  # an earlier version did not say
        pytest.param({"born": "1"}, marks=pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="no /proc")),
        {"pid": 1, "born": "long ago"},
    ],
)
def test_another_process_with_its_number_is_not(changes: dict[str, object]) -> None:
    """In a container the gateway is process 1, and so is the one after it."""
    assert not this_process()._replace(**changes).alive  # type: ignore[arg-type]
    assert not state(**changes).running


def test_a_killed_training_whose_number_is_another_process() -> None:
    here = this_process()
    run = TrainingRun(
        **here._asdict(), started="", updated="", step=1, steps=2, outcome="running", train={}, student={}
    )
    assert run.alive and not run.killed
    later = run.model_copy(update={"born": "1"})
    assert later.killed and not later.alive
    assert run.model_copy(update={"host": "elsewhere", "born": "1"}).alive  # as it said
