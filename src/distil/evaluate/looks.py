"""Keeps and counts the looks at a test set (work/evaluate/looks.jsonl). The verdict's correction for them is not here."""

from __future__ import annotations

from collections.abc import Sequence

from distil import ids
from distil.runs.artifacts import Project
from distil.runs.jsonl import append_record, read_records
from distil.runs.manifest import read_manifest
from distil.runs.schemas.decision import Looks
from distil.runs.schemas.looks import Look
from distil.runs.schemas.notes import EvaluateNotes


def looks(project: Project, test_set: str, *, now: str | None = None, coming: Sequence[str] = ()) -> Looks:
    """The looks at one test set so far.

    now: a student that is about to be looked at, counted as if it had been; coming: names of those that the same command
    evaluates after it, counted unless they have been looked at.
    """
    found = [look for look in _read(project) if look.test_set == test_set and look.candidate]
    students = {look.student for look in found} | ({now} if now else set())
    further = set(coming) - {look.name for look in found}
    count = len(students) + len(further)
    return Looks(students=count, runs=len(found) + (now is not None) + len(further), corrected_for=max(1, count))


def note(project: Project, *, name: str, test_set: str, student: str, candidate: bool) -> None:
    """Adds a look at the end of the file."""
    look = Look(time=ids.now("seconds"), name=name, test_set=test_set, student=student, candidate=candidate)
    append_record(project.looks, look)


def outdated(project: Project, name: str, coming: Sequence[str] = ()) -> str | None:
    """Why the verdict of an evaluation is corrected for too few students, or None. coming: see `looks`."""
    notes = EvaluateNotes.of(read_manifest(project, "evaluate", name))
    if notes.test_set is None:
        return None
    students = looks(project, notes.test_set, coming=coming).students
    if students <= max(notes.students_looked_at, 1):
        return None
    return (
        f"{students} students have been evaluated on its test prompts, and its verdict is corrected for "
        f"{notes.students_looked_at}"
    )


def _read(project: Project) -> list[Look]:
    return list(read_records(project.looks, Look)) if project.looks.exists() else []
