"""Writes work/train/NAME/run.json (distil.runs.schemas.training_run): start, heartbeat and end of a training in this process."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from distil.errors import Interrupted, UserError
from distil.ids import now
from distil.models.sizing import this_machine
from distil.runs.jsonl import write_json
from distil.runs.processes import this_process
from distil.runs.schemas.training_run import Cause, Outcome, TrainingRun, oom_kills
from distil.train.job import TrainJob
from distil.train.memory import ran_out_of_memory

SECONDS = 5.0
"""Between two writes of a heartbeat."""


class RunLog:
    """The log of one run; only the first of several processes writes it."""

    def __init__(self, path: Path, job: TrainJob) -> None:
        machine, started = this_machine(), now("seconds")
        self._path, self._beaten = path, time.monotonic()
        self.run = TrainingRun(
            **this_process()._asdict(),
            started=started,
            updated=started,
            step=0,
            steps=None,
            outcome="running",
            memory=held_memory(),
            memory_limit=machine.memory,
            oom_kills=oom_kills(),
            train=job.section.model_dump(mode="json"),
            student=job.student.model_dump(mode="json"),
        )
        self._write()

    def beat(self, step: int, steps: int, *, at_once: bool = False) -> None:
        """Notes how far the training is; writes it every few seconds."""
        self.run = self.run.model_copy(update={"step": step, "steps": steps})
        if at_once or time.monotonic() - self._beaten >= SECONDS:
            self._beaten = time.monotonic()
            self._write()

    def end(self, outcome: Outcome, cause: Cause | None = None, reason: str = "") -> None:
        """Notes how it ended."""
        self.run = self.run.model_copy(update={"outcome": outcome, "cause": cause, "reason": reason[:2000]})
        self._write()

    def _write(self) -> None:
        self.run = self.run.model_copy(update={"updated": now("seconds"), "memory": held_memory()})
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self._path, self.run.model_dump(mode="json"))


@contextmanager
def run_log(path: Path, job: TrainJob, *, writes: bool) -> Iterator[RunLog | None]:
    """The log of a run, ended as the block ends; None in processes that do not write."""
    if not writes:
        yield None
        return
    log = RunLog(path, job)
    try:
        yield log
    except (Interrupted, KeyboardInterrupt) as error:
        log.end("interrupted", reason=str(error))
        raise
    except BaseException as error:
        log.end("failed", cause_of(error), str(error) or type(error).__name__)
        raise
    log.end("finished")


def cause_of(error: BaseException) -> Cause:
    """What kind of failure an error is."""
    links: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in links:
        links.append(at)
        at = at.__cause__ or at.__context__
    if any(ran_out_of_memory(each) or str(each).startswith("Memory ran out") for each in links):
        return "memory"
    if str(error).startswith("The loss became"):
        return "loss"
    return "input" if isinstance(error, UserError) else "other"


def held_memory() -> int:
    """The most bytes that this process has held: of its GPU where it uses one, else of RAM."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return int(torch.cuda.max_memory_reserved())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
