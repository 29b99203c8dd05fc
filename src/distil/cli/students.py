"""The student a command works on: the named one, or the last one trained."""

from __future__ import annotations

from distil.errors import UserError, did_you_mean
from distil.runs.artifacts import Project


def pick_student(project: Project, name: str | None) -> str:
    """The name of a trained student. Raises UserError when it is unknown or nothing has been trained."""
    students = project.students()
    if not students:
        raise UserError(
            f"{project.root} has no trained student. Train one first: distil train --project {project.root}"
        )
    if name is None:
        return students[-1]
    if name not in students:
        hint = did_you_mean(name, students) or f" Trained: {', '.join(students)}."
        raise UserError(f"There is no trained student {name!r}.{hint} To train it: distil train --as {name}")
    return name
