"""The attempts to certify a student for the traffic of a project: the lines of work/serve/attempts.jsonl.

Each attempt is a chance to certify falsely. Who collects labels until it works, tries another score, another student or another
risk, tries again, so that the attempts share the error that a promise may have. The file only grows, and it survives a deleted
calibration: an attempt whose result was seen can't be taken back.
"""

from __future__ import annotations

import math
from pathlib import Path

from distil.records import Record
from distil.runs.jsonl import append_record, read_records


class Attempt(Record):
    """One calibration."""

    number: int
    """From 1, over all students, scores, risks and label sets of the project."""
    evidence: str
    """Hash of what was tested: student, score, rule, risk, labels, and the prompts that made the grid. The same again is free."""
    student: str
    """The student's name."""
    score: str
    """Its confidence."""
    risk: float
    """Promised at most."""
    confidence: float
    """1 - the error that all attempts together may have."""
    compared: str
    """What bad meant."""
    labels: int
    """Labeled prompts."""
    certified: bool
    """Whether a threshold was accepted."""
    created: str
    """ISO time, UTC."""


def share_of(number: int) -> float:
    """Share of the error that attempt `number` may spend: 6 / (pi^2 k^2), which adds up to 1 over all k.

    61% for the first, 15% for the second, 0.6% for the tenth. More labels make up for it: in the simulation of
    benchmarks/promise_attempts.py it certifies sooner than a test that may be looked at any time.
    """
    return 6.0 / (math.pi * number) ** 2


def read_attempts(path: Path) -> list[Attempt]:
    """All of a project, in order; none where there is no file. Raises UserError on a bad line."""
    return list(read_records(path, Attempt)) if path.exists() else []


def number_of(attempts: list[Attempt], evidence: str) -> int:
    """The number that this evidence has, or gets as the next attempt."""
    known = next((attempt.number for attempt in attempts if attempt.evidence == evidence), None)
    return known or 1 + max((attempt.number for attempt in attempts), default=0)


def keep_attempt(path: Path, attempts: list[Attempt], attempt: Attempt) -> None:
    """Adds an attempt, unless the same was made before. Raises WorkFailed when it can't be written."""
    if all(known.evidence != attempt.evidence for known in attempts):
        append_record(path, attempt)
