"""Checkpoints of a training: which are complete, which one to resume, and what of another job to delete.

transformers writes and reads their content. A checkpoint counts once its mark exists, which is written last: a kill in the middle
of writing leaves no mark.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from distil.runs.jsonl import read_json, write_json

MARK = "whole"


def mark_complete(checkpoint: Path) -> None:
    """Records that the whole checkpoint is on disk."""
    if checkpoint.is_dir():
        (checkpoint / MARK).touch()


def complete_checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    marked = [path for path in folder.glob("checkpoint-*") if (path / MARK).exists()]
    return sorted(marked, key=lambda path: int(path.name.rsplit("-", 1)[1]))


def checkpoint_to_resume(folder: Path, fingerprint: str, *, is_main: bool, wait: Callable[[], None]) -> Path | None:
    """The newest complete checkpoint of the same job in a student's folder. The main process deletes all others.

    `wait` is the barrier of all processes: none may delete before every process has looked.
    """
    checkpoints = folder / "checkpoints"
    stamp = checkpoints / "job.json"
    same_job = stamp.exists() and read_json(stamp)["job"] == fingerprint
    complete = complete_checkpoints(checkpoints) if same_job else []
    wait()
    if is_main:
        for path in checkpoints.glob("checkpoint-*"):
            if path not in complete:
                shutil.rmtree(path, ignore_errors=True)
        if not complete:
            shutil.rmtree(folder / "best", ignore_errors=True)
            (folder / "metrics.jsonl").unlink(missing_ok=True)
            write_json(stamp, {"job": fingerprint})
    wait()
    return complete[-1] if complete else None
