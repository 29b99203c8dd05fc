"""The entry of one training process: `python -m distil.train.worker JOB.json`.

launch.py starts it through torchrun; so may a cluster's own launcher (accelerate launch, srun torchrun): see docs/training.md. In
that case the first process also writes the stage's manifest.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch.distributed

from distil.errors import DistilError, Interrupted
from distil.runs.jsonl import read_json, write_json
from distil.terminal import guard
from distil.train.job import LAUNCHED, TrainJob, error_file, process_rank
from distil.train.manifest import adopt
from distil.train.run import train_student


def main(arguments: list[str]) -> int:
    """Trains and writes JOB.result.json. A known error goes to JOB.error.RANK.json, and its exit code to the launcher."""
    guard()
    path = Path(arguments[0])
    rank, stop_file = process_rank(), os.environ.get(LAUNCHED)
    try:
        job = TrainJob.from_json(read_json(path))
        facts = train_student(job, stop_file=Path(stop_file) if stop_file else None)
    except DistilError as error:
        write_json(error_file(path, rank), {"kind": type(error).__name__, "message": str(error)})
        if stop_file and isinstance(error, Interrupted):
            return 0  # every process ends by itself; an exit code would make torchrun kill the one that is still saving
        return error.exit_code
    finally:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    if rank == 0:
        write_json(path.with_suffix(".result.json"), facts)
        if not stop_file:
            adopt(job, facts)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
