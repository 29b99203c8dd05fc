"""Several training processes on this machine through torchrun, and their result or error.

As a module (`python -m distil.train.launch`) it is torchrun without the launcher's own traceback, because a worker writes a known
error to a file. For several machines, start worker.py with torchrun or accelerate yourself (docs/training.md).
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import distil.errors
from distil.errors import DistilError, UserError, WorkFailed
from distil.progress import say
from distil.runs.jsonl import read_json, write_json
from distil.terminal import guard
from distil.train.job import LAUNCHED, TrainJob, error_file
from distil.train.manifest import TrainFacts

WORKER = "distil.train.worker"


def torchrun(job: TrainJob) -> TrainFacts:
    """Runs the job in `train.processes` processes. Returns the first one's facts, or raises its error."""
    processes = job.section.processes
    _require_gpus(processes)
    path = job.folder / "job.json"
    write_json(path, job.to_json())
    result, stop = path.with_suffix(".result.json"), path.with_suffix(".stop")
    errors = [error_file(path, rank) for rank in range(processes)]
    for stale in (result, stop, *errors):
        stale.unlink(missing_ok=True)
    launcher = [sys.executable, "-m", "distil.train.launch", "--standalone", f"--nproc-per-node={processes}"]
    command = [*launcher, "-m", WORKER, str(path)]
    threads = str(max(1, (os.cpu_count() or 1) // processes))
    environment = {"OMP_NUM_THREADS": threads, **os.environ, LAUNCHED: str(stop)}
    # A new session: a terminal's Ctrl-C must not reach torchrun, which would kill the processes in the middle of a step.
    child = subprocess.Popen(command, env=environment, stdout=sys.stderr, start_new_session=True)
    code = _wait(child, stop)
    try:
        for file in errors:
            if file.exists():
                raise known_error(read_json(file))
        if code != 0 or not result.exists():
            raise WorkFailed(
                f"A training process ended with code {code}; its output is above. The last complete checkpoint is kept, and "
                "the next run resumes from it."
            )
        facts: TrainFacts = read_json(result)
        return facts
    finally:
        for used in (path, result, stop, *errors):
            used.unlink(missing_ok=True)


def _require_gpus(processes: int) -> None:
    """On a machine with GPUs each process has its own: NCCL refuses two on one."""
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if 0 < gpus < processes:
        raise UserError(
            f"train.processes is {processes}, and this machine has {gpus} GPU{'s' * (gpus > 1)}; expected at most one for each. "
            f"Type --set train.processes={gpus}, or CUDA_VISIBLE_DEVICES= before the command to train on the CPU."
        )


def _wait(child: subprocess.Popen[bytes], stop: Path) -> int:
    """Waits. The first Ctrl-C or SIGTERM requests all processes to save and end after the running step; the second ends them
    at once."""
    with _terminating_as_interrupt():
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:
                if stop.exists():
                    child.send_signal(signal.SIGINT)
                stop.touch()


@contextmanager
def _terminating_as_interrupt() -> Iterator[None]:
    """SIGTERM (Slurm, `docker stop`) raises KeyboardInterrupt, too."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def known_error(record: dict[str, str]) -> DistilError:
    """The error that a worker process wrote to a file."""
    kind = getattr(distil.errors, record["kind"], WorkFailed)
    error: DistilError = kind(record["message"])
    return error


def main(arguments: list[str]) -> int:
    """torchrun's own entry. Reports on stderr a worker that failed without an error file."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    guard()
    logging.disable(logging.ERROR)  # the launcher's own lines about workers that end; the workers' lines stay
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    try:
        run(parse_args(arguments))
    except ChildFailedError as error:
        if not any(error_file(Path(arguments[-1]), rank).exists() for rank in error.failures):
            say(str(error))
        return 1
    except SignalException:
        return 1
    return 0


def _end_with(parent: int) -> None:
    """Ends this launcher and its workers when `distil train` itself was killed."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
