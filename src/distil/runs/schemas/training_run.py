"""work/train/NAME/run.json: how the last run of a training began, how far it came and how it ended.

Rewritten every few seconds while it trains, so that a killed run leaves its last step and its memory behind. Not the result of a
training: that is in its manifest, and the losses are in metrics.jsonl.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from distil.errors import UserError
from distil.records import Record
from distil.runs.jsonl import read_document, write_json
from distil.runs.processes import Process

Outcome = Literal["running", "finished", "interrupted", "failed"]
Cause = Literal["memory", "loss", "input", "other"]


class TrainingRun(Record):
    """One run, alive or over."""

    host: str
    """Name of the machine."""
    pid: int
    """Of the process that trains (the first of several)."""
    born: str = ""
    """When that process started, as the system reports it: its number may be given to another one."""
    started: str
    """ISO time, UTC."""
    updated: str
    """When this was written last."""
    step: int
    """Optimizer steps that are done; 0 before the first."""
    steps: int | None
    """Of the whole training; None before it is known."""
    outcome: Outcome
    """running also stays where the process was killed: see `alive`."""
    cause: Cause | None = None
    """Of a failure: memory ran out, the loss is not a number, the input is wrong, or something else."""
    reason: str = ""
    """The message of the failure."""
    memory: int = 0
    """The most bytes that the process held until now: of the GPU where it trains on one, else of RAM."""
    memory_limit: int = 0
    """Bytes that there are; 0 = unknown."""
    oom_kills: int | None = None
    """Processes that the kernel had killed for memory in this container or session when the run began; None = unknown."""
    train: dict[str, JsonValue]
    """The resolved train section."""
    student: dict[str, JsonValue]
    """The resolved student section."""

    @property
    def alive(self) -> bool:
        """Whether it runs, as far as this machine can tell; on another machine: whether it said so."""
        if self.outcome != "running" or self.host != socket.gethostname():
            return self.outcome == "running"
        return Process(self.pid, self.host, self.born).alive

    @property
    def killed(self) -> bool:
        """Whether it ended without a word: kill -9, the kernel for lack of memory, a power cut."""
        return self.outcome == "running" and not self.alive


def read_training_run(path: Path) -> TrainingRun | None:
    """The last run of a student; None when there was none, or its file is of another version."""
    try:
        return read_document(path, TrainingRun, command="distil train") if path.exists() else None
    except UserError:
        return None


def note_end(path: Path, reason: str) -> None:
    """For who waited for processes that ended without a word: their log says running, and is given the reason."""
    run = read_training_run(path)
    if run is not None and run.killed:
        ended = {"outcome": "failed", "cause": "other", "reason": reason[:2000]}
        write_json(path, run.model_copy(update=ended).model_dump(mode="json"))


def oom_kills() -> int | None:
    """Processes that the kernel killed for lack of memory in this process's control group (Linux, cgroup v2); None = unknown."""
    try:
        group = Path("/proc/self/cgroup").read_text(encoding="ascii").strip().rpartition("::")[2]
        lines = (Path("/sys/fs/cgroup") / group.lstrip("/") / "memory.events").read_text(encoding="ascii").split("\n")
    except (OSError, ValueError):
        return None
    counts = dict(line.split() for line in lines if line)
    return int(counts["oom_kill"]) if "oom_kill" in counts else None
