"""Says in work/collect/rounds.json that what is asked is chosen in rounds. What follows from it: stage_states.py."""

from __future__ import annotations

from distil.runs.artifacts import Project
from distil.runs.jsonl import write_json
from distil.runs.schemas.asked import AskedInRounds, read_asked


def begin(project: Project, command: str, settings: dict[str, object]) -> None:
    """A command asks in rounds from now on; it is the one that goes on with them."""
    _write(project, AskedInRounds(command=command, settings=settings))


def end(project: Project) -> None:
    """The rounds ended as they were meant to."""
    asked = read_asked(project.asked_in_rounds)
    if asked is not None and not asked.over:
        _write(project, asked.model_copy(update={"over": True}))


def forget(project: Project) -> None:
    """Somebody asks for all."""
    project.asked_in_rounds.unlink(missing_ok=True)


def _write(project: Project, asked: AskedInRounds) -> None:
    write_json(project.asked_in_rounds, asked.model_dump(mode="json"))
