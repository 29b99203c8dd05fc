"""Several training processes on this machine through torch's own launcher, and their outcome brought back.

As a module (`python -m distil.train.launch`) it is torchrun without the traceback of the launcher itself, because a child that
makes a known mistake writes it down. Several machines: run torchrun or accelerate there yourself with worker.py
(docs/training.md). Called by stage.py.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from distil import errors
from distil.errors import DistilError, WorkFailed
from distil.runs.jsonl import read_json, write_json
from distil.train.run import TrainJob
from distil.train.worker import LAUNCHED, fault_of, job_to_json

WORKER = "distil.train.worker"


def torchrun(job: TrainJob) -> dict[str, Any]:
    """Runs the job in `section.processes` processes; returns the first one's facts or raises its error."""
    path = job.folder / "job.json"
    write_json(path, job_to_json(job))
    result = path.with_suffix(".result.json")
    faults = [fault_of(path, rank) for rank in range(job.section.processes)]
    for old in (result, *faults):
        old.unlink(missing_ok=True)
    command = [
        sys.executable,
        "-m",
        "distil.train.launch",
        "--standalone",
        f"--nproc-per-node={job.section.processes}",
        "-m",
        WORKER,
        str(path),
    ]
    stop = path.with_suffix(".stop")
    environment = {
        **os.environ,
        LAUNCHED: str(stop),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(_threads(job.section.processes))),
    }
    stop.unlink(missing_ok=True)
    # Its own session: a terminal's Ctrl-C must not reach torch's launcher, which would kill the processes in mid-step.
    child = subprocess.Popen(command, env=environment, stdout=sys.stderr, start_new_session=True)
    code = _wait(child, stop)
    try:
        for fault in faults:
            if fault.exists():
                raise known_error(read_json(fault))
        if code != 0 or not result.exists():
            raise WorkFailed(
                f"A training process ended with code {code}; its own words are above. The last whole checkpoint is kept, "
                "and the next run goes on from it."
            )
        return dict(read_json(result))
    finally:
        for used in (path, result, stop, *faults):
            used.unlink(missing_ok=True)


def _wait(child: subprocess.Popen[bytes], stop: Path) -> int:
    """Waits. The first Ctrl-C asks all processes to save and end after the running step, the second one ends them at once."""
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            if stop.exists():
                child.send_signal(signal.SIGINT)
            stop.touch()


def _threads(processes: int) -> int:
    return max(1, (os.cpu_count() or 1) // processes)


def known_error(fault: dict[str, Any]) -> DistilError:
    """The error that a worker process wrote down, as itself again."""
    kind = getattr(errors, fault["kind"], WorkFailed)
    error: DistilError = kind(fault["message"])
    return error


def main(arguments: list[str]) -> int:
    """torchrun's own entry; a child that failed without writing down why is told of on stderr."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    logging.disable(logging.ERROR)  # this launcher's own lines about children that end; theirs are not touched
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    try:
        run(parse_args(arguments))
    except ChildFailedError as error:
        if not any(fault_of(Path(arguments[-1]), rank).exists() for rank in error.failures):
            sys.stderr.write(f"{error}\n")
        return 1
    except SignalException:
        return 1
    return 0


def _end_with(parent: int) -> None:
    """Ends this launcher and its processes when `distil train` itself has been killed: nobody would wait for them."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
