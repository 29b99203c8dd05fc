"""Keeps and counts the looks at test prompts (work/evaluate/looks.jsonl). The verdict's correction for them is not here.

One error belongs to the test prompts, not to one list of them: a look at prompts of which half are the same is a look at these,
so that leaving one out, or adding some, begins no other error (docs/decisions/2026-11-29-levers.md).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from distil import ids
from distil.runs.artifacts import Project
from distil.runs.jsonl import append_record, read_records
from distil.runs.manifest import read_manifest
from distil.runs.schemas.decision import MIN_PROMPTS, Looks
from distil.runs.schemas.looks import KnownTests, Look
from distil.runs.schemas.notes import EvaluateNotes

SHARED = 0.5
"""Of the smaller of two sets of test prompts: from that on they are looked at together. Sets that are drawn again share at most a
third on average (curate draws no more of all prompts), a subset all of it."""


def looks(
    project: Project, test_set: str, *, now: str | None = None, coming: Sequence[str] = (), share: float | None = None
) -> Looks:
    """The looks at one set of test prompts, and at those like it, so far.

    now: a student that is about to be looked at, counted as if it had been; coming: names of those that the same command
    evaluates after it, counted unless they have been looked at; share: of the error, what a plan gives to `now`. The students of
    a plan count as one, which their shares divide; shares that add up to more than 1 are scaled down to it. A student
    that was looked at without a plan, too, counts for that look; one that was looked at on other prompts like these, for both.
    """
    like = alike(project, test_set)
    found = [look for look in _read(project) if look.test_set in like and look.candidate]
    this = (now or "", test_set)
    planned = {(look.student, look.test_set): look.share for look in found if look.share is not None}
    if now and share is not None:
        planned[this] = share
    unplanned = {(look.student, look.test_set) for look in found if look.share is None}
    if now and this not in planned:
        unplanned.add(this)
    further = set(coming) - {look.name for look in found if look.test_set == test_set}
    mine = planned.get(this)
    return Looks(
        students=len(unplanned | planned.keys()) + len(further),
        runs=len(found) + (now is not None) + len(further),
        corrected_for=max(1, len(unplanned) + len(further) + bool(planned)),
        share=None if mine is None else mine / max(1.0, sum(planned.values())),
    )


def corrected(seen: Looks, announced: int) -> Looks:
    """The looks, with those that `evaluate.students` announces."""
    return seen.model_copy(update={"corrected_for": max(announced, seen.corrected_for)})


def comparisons(project: Project, test_set: str, share: float, announced: int) -> float:
    """What the error will be divided by in a look that a plan gives this share, at a student that nobody looked at before."""
    return corrected(looks(project, test_set, now="the next student", share=share), announced).comparisons


def alike(project: Project, test_set: str) -> frozenset[str]:
    """The sets of test prompts that are looked at together with this one, itself included.

    Too few prompts for any decision are none of them: what was said of those can't have been a false SHIP.
    """
    known = _known(project)
    mine = known.get(test_set, frozenset())
    others = (
        other
        for other, prompts in known.items()
        if min(len(mine), len(prompts)) >= MIN_PROMPTS and len(mine & prompts) >= SHARED * min(len(mine), len(prompts))
    )
    return frozenset((test_set, *others))


def remember(project: Project, test_set: str, prompts: Collection[str]) -> str:
    """Keeps which prompts a set has, before it is looked at, and returns the set. prompts: their ids."""
    if test_set not in _known(project):
        append_record(project.known_tests, KnownTests(test_set=test_set, prompts=sorted(prompts)))
    return test_set


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


def _known(project: Project) -> dict[str, frozenset[str]]:
    there = read_records(project.known_tests, KnownTests) if project.known_tests.exists() else ()
    return {one.test_set: frozenset(one.prompts) for one in there}


def _read(project: Project) -> list[Look]:
    return list(read_records(project.looks, Look)) if project.looks.exists() else []
