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


def looks(
    project: Project, test_set: str, *, now: str | None = None, coming: Sequence[str] = (), share: float | None = None
) -> Looks:
    """The looks at one test set so far.

    now: a student that is about to be looked at, counted as if it had been; coming: names of those that the same command
    evaluates after it, counted unless they have been looked at; share: of the error, what a plan gives to `now`. The students of
    a plan count as one, which their shares divide; shares that add up to more than 1 are scaled down to it. A student
    that was looked at without a plan, too, counts for that look.
    """
    found = [look for look in _read(project) if look.test_set == test_set and look.candidate]
    planned = {look.student: look.share for look in found if look.share is not None}
    if now and share is not None:
        planned[now] = share
    unplanned = {look.student for look in found if look.share is None}
    if now and now not in planned:
        unplanned.add(now)
    further = set(coming) - {look.name for look in found}
    mine = planned.get(now or "")
    return Looks(
        students=len(unplanned | planned.keys()) + len(further),
        runs=len(found) + (now is not None) + len(further),
        corrected_for=max(1, len(unplanned) + len(further) + bool(planned)),
        share=None if mine is None else mine / max(1.0, sum(planned.values())),
    )


def note(
    project: Project, *, name: str, test_set: str, student: str, candidate: bool, share: float | None = None
) -> None:
    """Adds a look at the end of the file. share: see `looks`."""
    look = Look(
        time=ids.now("seconds"), name=name, test_set=test_set, student=student, candidate=candidate, share=share
    )
    append_record(project.looks, look)


def outdated(project: Project, name: str, coming: Sequence[str] = ()) -> str | None:
    """Why the verdict of an evaluation is corrected for too few students, or None. coming: see `looks`."""
    notes = EvaluateNotes.of(read_manifest(project, "evaluate", name))
    if notes.test_set is None:
        return None
    students = looks(project, notes.test_set, coming=coming).corrected_for
    if students <= max(notes.students_looked_at, 1):
        return None
    return (
        f"{students} students have been evaluated on its test prompts, and its verdict is corrected for "
        f"{notes.students_looked_at}"
    )


def _read(project: Project) -> list[Look]:
    return list(read_records(project.looks, Look)) if project.looks.exists() else []
