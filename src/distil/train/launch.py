"""Several training processes on this machine through torch's own launcher, and their outcome brought back.

Several machines: run torchrun or accelerate there yourself with worker.py (docs/training.md). Called by stage.py.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

from distil import errors
from distil.errors import DistilError, WorkFailed
from distil.runs.jsonl import read_json, write_json
from distil.train.work import Job
from distil.train.worker import LAUNCHED, job_to_json


def torchrun(job: Job) -> dict[str, Any]:
    """Runs the job in `section.processes` processes; returns the first one's facts or raises its error."""
    path = job.folder / "job.json"
    write_json(path, job_to_json(job))
    result, fault = path.with_suffix(".result.json"), path.with_suffix(".error.json")
    for old in (result, fault):
        old.unlink(missing_ok=True)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc-per-node={job.section.processes}",
        "-m",
        "distil.train.worker",
        str(path),
    ]
    environment = {
        **os.environ,
        LAUNCHED: "1",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(_threads(job.section.processes))),
    }
    child = subprocess.Popen(command, env=environment, stdout=sys.stderr)
    code = _wait(child)
    try:
        if fault.exists():
            raise known_error(read_json(fault))
        if code != 0 or not result.exists():
            raise WorkFailed(
                f"A training process ended with code {code}; its own words are above. The last whole checkpoint is kept, "
                "and the "
                "next run goes on from it."
            )
        return dict(read_json(result))
    finally:
        for used in (path, result, fault):
            used.unlink(missing_ok=True)


def _wait(child: subprocess.Popen[bytes]) -> int:
    """Waits; Ctrl-C goes to the children (once each), which save and end by themselves."""
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            child.send_signal(signal.SIGINT)


def _threads(processes: int) -> int:
    return max(1, (os.cpu_count() or 1) // processes)


def known_error(fault: dict[str, Any]) -> DistilError:
    """The error that a worker process wrote down, as itself again."""
    kind = getattr(errors, fault["kind"], WorkFailed)
    error: DistilError = kind(fault["message"])
    return error
