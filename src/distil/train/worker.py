"""The entry of one training process under torchrun: `python -m distil.train.worker JOB.json`.

Also what a cluster's own launcher starts (accelerate launch, srun torchrun): see docs/training.md. The first process
writes what the stage's manifest needs beside the job's file.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from distil.calls.config import TeacherConfig
from distil.errors import DistilError, Interrupted
from distil.models.config import StudentConfig
from distil.runs.jsonl import read_json, write_json
from distil.train.config import TrainConfig
from distil.train.run import TrainJob, train_student

LAUNCHED = "DISTIL_LAUNCHED"
"""Set by launch.py, which waits for the result itself, to the file that asks the training to save and end."""


def job_to_json(job: TrainJob) -> dict[str, Any]:
    """A job as a JSON object."""
    return {
        "root": str(job.root),
        "name": job.name,
        "section": job.section.model_dump(mode="json"),
        "student": job.student.model_dump(mode="json"),
        "teacher": job.teacher.model_dump(mode="json") if job.teacher else None,
        "max_steps": job.max_steps,
    }


def job_from_json(value: dict[str, Any]) -> TrainJob:
    """The inverse of `job_to_json`."""
    return TrainJob(
        Path(value["root"]),
        value["name"],
        TrainConfig.model_validate(value["section"]),
        StudentConfig.model_validate(value["student"]),
        TeacherConfig.model_validate(value["teacher"]) if value["teacher"] else None,
        value["max_steps"],
    )


def fault_of(path: Path, rank: int) -> Path:
    """Where process `rank` writes why it ended."""
    return path.with_suffix(f".error.{rank}.json")


def main(arguments: list[str]) -> int:
    """Trains and writes JOB.result.json; a known error goes to JOB.error.RANK.json and its exit code back to the launcher."""
    path = Path(arguments[0])
    rank, launched = int(os.environ.get("RANK", "0")), os.environ.get(LAUNCHED)
    try:
        facts = train_student(job_from_json(read_json(path)), stop=Path(launched) if launched else None)
    except DistilError as error:
        write_json(fault_of(path, rank), {"kind": type(error).__name__, "message": str(error)})
        if launched and isinstance(error, Interrupted):
            return 0  # all end by themselves; a code would make torch's launcher kill the one that still saves
        return error.exit_code
    finally:
        _leave()
    if rank == 0:
        write_json(path.with_suffix(".result.json"), facts)
        if not launched:  # nobody else is there to write the stage's manifest
            from distil.train.stage import adopt

            adopt(job_from_json(read_json(path)), facts)
    return 0


def _leave() -> None:
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
