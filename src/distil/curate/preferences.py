"""Preference pairs: two answers to one prompt of which one is known to be better, and why.

Known means by the prompt's reference, by a judge's score, or because most answers agree on it. The order of teachers in the
config says nothing about quality, so it makes no pair.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from distil.formats.rows import Row
from distil.records import Answer, Example, Message
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records
from distil.runs.schemas.evidence import Evidence, Signal
from distil.text import same_answer

LOST_BY = frozenset({"choose", "reference", "agreement", "label_agreement", "judge"})
"""Steps that drop an answer for what it says; one that was cut off or holds a secret teaches nothing by losing."""
MAJORITY = 0.5
"""The preferred answer has more than this share of the votes."""


def pairs(project: Project, examples: Iterable[Example]) -> list[tuple[Row, str]]:
    """(row, reason) for every known preference among the answers of these examples' prompts; equal answers give one pair."""
    evidence = {row.answer_id: row for row in read_records(project.evidence, Evidence)}
    answers: dict[str, list[Answer]] = {}
    for answer in read_records(project.answers, Answer):
        answers.setdefault(answer.prompt_id, []).append(answer)
    found = []
    for example in examples:
        found += list(_pairs_of(example, answers.get(example.prompt_id, []), evidence))
    return found


def _pairs_of(
    example: Example, answers: Sequence[Answer], evidence: Mapping[str, Evidence]
) -> Iterator[tuple[Row, str]]:
    better = evidence.get(example.answer_id or "")
    if better is None:
        return
    seen: list[Answer] = []
    for answer in answers:
        worse = evidence.get(answer.id)
        if worse is None or worse.dropped not in LOST_BY:
            continue
        reason = preferred(better, worse)
        if reason is None or any(same_answer(answer.text, s.text, answer.tool_calls, s.tool_calls) for s in seen):
            continue
        seen.append(answer)
        yield Row.of(example, rejected=_turn(answer)), reason


def preferred(better: Evidence, worse: Evidence) -> str | None:
    """Why the first answer is better than the second, or None when nothing says so."""
    if better.reference is not None and worse.reference is not None:
        # a reference decides alone: what a judge or the others think does not make a wrong answer better
        return "reference" if _value(better.reference) > _value(worse.reference) else None
    if better.judge is not None and worse.judge is not None:
        return "judge" if _value(better.judge) > _value(worse.judge) else None
    if better.agreement is not None and worse.agreement is not None:
        share = _value(better.agreement)
        return "majority" if share > MAJORITY and share > _value(worse.agreement) else None
    return None


def _value(signal: Signal) -> float:
    return signal.value


def _turn(answer: Answer) -> Message:
    return Message(role="assistant", content=answer.text or None, tool_calls=answer.tool_calls)
