"""The student that a command works on: the named one, or the one that `distil status` and `distil run` mean, too."""

from __future__ import annotations

from distil.cli.options import Context
from distil.errors import UserError, did_you_mean


def pick_student(context: Context, name: str | None) -> str:
    """The name of a trained student. Raises UserError when it is unknown or nothing has been trained."""
    project = context.project
    students = project.students()
    if not students:
        raise UserError(
            f"{project.root} has no trained student. Train one first: distil train --project {project.root}"
        )
    return _pick(context, name, students, "trained student", "Trained")


def pick_evaluable(context: Context, name: str | None) -> str:
    """The name of a student that was trained here or whose answers were evaluated before.

    Raises UserError when it is unknown, or there is none.
    """
    project = context.project
    trained = project.students()
    students = [*(s for s in project.evaluated() if s not in trained and not project.model(s).is_dir()), *trained]
    if not students:
        raise UserError(
            f"{project.root} has no student to evaluate. Train one: distil train --project {project.root}. "
            f"Or evaluate answers that exist already: distil evaluate --answers FILE --as NAME --project {project.root}"
        )
    return _pick(context, name, students, "student", "There are")


def _pick(context: Context, name: str | None, students: list[str], what: str, have: str) -> str:
    if name is None and len(students) == 1:
        return students[0]  # whatever the config says, and where there is none
    if name is None:
        from distil.stage_states import chosen_student

        return chosen_student(context.project, context.config(), students)
    if name not in students:
        hint = did_you_mean(name, students) or f" {have}: {', '.join(students)}."
        raise UserError(f"There is no {what} {name!r}.{hint} To train it: distil train --as {name}")
    return name
