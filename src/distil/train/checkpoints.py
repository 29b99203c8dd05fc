"""Checkpoints of a training: which are complete, which one to resume, and what happens to those of another training.

A checkpoint counts once its mark exists, which is written last: a kill in the middle of writing leaves no mark. Complete
checkpoints are never deleted for another training: it is refused with what differs, or they are put aside when asked (--force).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from distil.errors import UserError
from distil.ids import content_id
from distil.runs.jsonl import read_json, write_json

MARK = "whole"
STAMP = "job.json"
LONGEST_VALUE = 60


def mark_complete(checkpoint: Path) -> None:
    """Records that the whole checkpoint is on disk."""
    if checkpoint.is_dir():
        (checkpoint / MARK).touch()


def complete_checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    marked = [path for path in folder.glob("checkpoint-*") if (path / MARK).exists()]
    return sorted(marked, key=lambda path: int(path.name.rsplit("-", 1)[1]))


def checkpoint_to_resume(
    folder: Path, identity: Mapping[str, object], *, is_main: bool, wait: Callable[[], None]
) -> Path | None:
    """The newest complete checkpoint in a student's folder, if it is of this training (TrainJob.identity).

    The main process removes checkpoints that a kill left half written. `wait` is the barrier of all processes: none may write
    before every process has looked. Raises UserError, with what differs, when complete checkpoints are of another training.
    """
    checkpoints = folder / "checkpoints"
    stamp, complete = checkpoints / STAMP, complete_checkpoints(checkpoints)
    then = read_json(stamp) if stamp.exists() else {}
    now = {"job": content_id("job", dict(identity)), "identity": dict(identity)}
    if complete and then.get("job") != now["job"]:
        raise UserError(_refusal(folder, complete, then.get("identity"), identity))
    wait()
    if is_main:
        for path in checkpoints.glob("checkpoint-*"):
            if path not in complete:
                shutil.rmtree(path, ignore_errors=True)
        if not complete:
            shutil.rmtree(folder / "best", ignore_errors=True)
            (folder / "metrics.jsonl").unlink(missing_ok=True)
            write_json(stamp, now)
    wait()
    return complete[-1] if complete else None


def checkpointed_rate(folder: Path) -> float | None:
    """The peak learning rate that the complete checkpoints in a student's folder were trained with; None where there are none."""
    stamp = folder / "checkpoints" / STAMP
    if not stamp.exists() or not complete_checkpoints(folder / "checkpoints"):
        return None
    found = read_json(stamp).get("identity", {}).get("train.learning_rate")
    return float(found) if isinstance(found, (int, float)) else None


def put_aside(folder: Path) -> Path | None:
    """Moves complete checkpoints, with the metrics and best weights that belong to them, to aside-N. None if there are none."""
    if not complete_checkpoints(folder / "checkpoints"):
        return None
    taken = [int(path.name.rsplit("-", 1)[1]) for path in folder.glob("aside-*")]
    aside = folder / f"aside-{max(taken, default=0) + 1}"
    aside.mkdir()
    for name in ("checkpoints", "best", "metrics.jsonl"):
        if (folder / name).exists():
            (folder / name).rename(aside / name)
    return aside


def _refusal(folder: Path, complete: list[Path], then: object, now: Mapping[str, object]) -> str:
    differences = _differences(then, now) if isinstance(then, dict) else ["they are of an earlier version of Distil"]
    step = complete[-1].name.rsplit("-", 1)[1]
    return (
        f"{folder / 'checkpoints'} holds an unfinished training (step {step}) that is not this one: {'; '.join(differences)}. "
        "To continue it, set that back and run again. To start over, give another name with --as, or run "
        f"`distil train --as {folder.name} --force`, which moves the checkpoints to {folder.name}/aside-1."
    )


def _differences(then: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    keys = [key for key in {**then, **now} if then.get(key) != now.get(key)]
    return [f"{key} was {_short(then.get(key))} and is {_short(now.get(key))}" for key in keys]


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."
