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
    return _pick(name, students, "trained student", "Trained")


def pick_evaluable(project: Project, name: str | None) -> str:
    """The name of a student that was trained here or whose answers were evaluated before; by default the last one trained.

    Raises UserError when it is unknown, or there is none.
    """
    trained = project.students()
    students = [*(s for s in project.evaluated() if s not in trained and not project.model(s).is_dir()), *trained]
    if not students:
        raise UserError(
            f"{project.root} has no student to evaluate. Train one: distil train --project {project.root}. "
            f"Or evaluate answers that exist already: distil evaluate --answers FILE --as NAME --project {project.root}"
        )
    return _pick(name, students, "student", "There are")


def _pick(name: str | None, students: list[str], what: str, have: str) -> str:
    if name is None:
        return students[-1]
    if name not in students:
        hint = did_you_mean(name, students) or f" {have}: {', '.join(students)}."
        raise UserError(f"There is no {what} {name!r}.{hint} To train it: distil train --as {name}")
    return name
