"""How often test prompts were looked at: a line of work/evaluate/looks.jsonl for each evaluation, never rewritten, and a line of
work/evaluate/test_sets.jsonl for each set of test prompts that was looked at.

Who picks the best of several students on the same test prompts overstates it; the verdict corrects for the number of them.
"""

from __future__ import annotations

from distil.records import Record


class Look(Record):
    """One evaluation of one student."""

    time: str
    """ISO time, UTC."""
    name: str
    """The student."""
    test_set: str
    """Hash of the test prompts."""
    student: str
    """Hash of its weights or answers: another training under the same name is another student."""
    candidate: bool = True
    """False for a baseline that learned the references: nobody chooses it for its score."""
    share: float | None = None
    """Of the error of the test set, that a plan of looks gave to this one (`distil until`); None = looks share it equally."""


class KnownTests(Record):
    """The prompts of a set, so that sets that share many can be told from others."""

    test_set: str
    """Hash of the test prompts."""
    prompts: list[str]
    """Their ids, sorted."""
