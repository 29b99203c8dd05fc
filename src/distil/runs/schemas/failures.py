"""Answers that collecting could not get: one line of work/collect/failures.jsonl each."""

from __future__ import annotations

from distil.records import Record


class Failure(Record):
    """One line of failures.jsonl: a question without an answer."""

    answer_id: str
    """The answer that is missing."""
    prompt_id: str
    """Its prompt."""
    teacher: str
    """Who was asked."""
    sample: int
    """Which sample."""
    kind: str
    """empty, or what a fault is called (bad_request, server, timeout, ...)."""
    why: str
    """For a person."""
