"""Preference pairs: two answers to one prompt of which one is known to be better, and why.

Known means by a person's mark, by the prompt's reference, by a judge's score, or because most answers agree on it. The order of
teachers in the config says nothing about quality, so it makes no pair.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from distil.curate.evidence.apply import PERSON
from distil.curate.evidence.corpus import Pair
from distil.curate.evidence.masking import Maskable, mask
from distil.formats.rows import Row
from distil.records import Answer, Example, Message, Prompt
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records
from distil.runs.manifest import read_manifest
from distil.runs.marks import read_marks
from distil.runs.schemas.evidence import Evidence, Signal
from distil.runs.schemas.marks import Mark
from distil.runs.schemas.notes import CurateMasks
from distil.text import same_answer

LOST_BY = frozenset({"choose", "wrong_answer", "unlike_reference", "wrong_label", PERSON})
"""Steps that drop an answer for what it says; one that was dropped for its form teaches nothing by losing."""
MAJORITY = 0.5
"""The preferred answer has more than this share of the votes."""


class Known:
    """What is known about the answers of a project."""

    def __init__(self, project: Project) -> None:
        self._evidence = {row.answer_id: row for row in read_records(project.evidence, Evidence)}
        self._marks = read_marks(project.marks)
        self._mask: Sequence[Maskable] = CurateMasks.of(read_manifest(project, "curate")).mask
        self._prompts = {p.id: p for p in read_records(project.prompts, Prompt)} if self._mask else {}
        self._answers: dict[str, list[Answer]] = {}
        for answer in read_records(project.answers, Answer):
            self._answers.setdefault(answer.prompt_id, []).append(answer)

    def pairs(self, examples: Iterable[Example]) -> Iterator[tuple[Row, str]]:
        """(row, reason) for every known preference among the answers of these examples' prompts; equal answers give one pair."""
        for example in examples:
            seen = [example.messages[-1]]
            for answer in self._answers.get(example.prompt_id, []):
                reason = self._preferred(example.answer_id or "", answer.id)
                if reason is None:
                    continue
                turn = self._turn(answer)
                if not any(same_answer(turn.text, t.text, turn.tool_calls, t.tool_calls) for t in seen):
                    seen.append(turn)
                    yield Row.of(example, rejected=turn), reason

    def _preferred(self, better: str, worse: str) -> str | None:
        chosen, lost = self._evidence.get(better), self._evidence.get(worse)
        if chosen is None or lost is None or any(map(_value, (lost.truncated, lost.empty, lost.secrets))):
            return None
        if better == worse:  # what a person made of it, and what it was
            mark = self._marks.get(better)
            return "a person" if mark is not None and mark.mark == "edited" else None
        if lost.dropped not in LOST_BY:
            return None
        if _rank(self._marks.get(better)) > _rank(self._marks.get(worse)):
            return "a person"
        return preferred(chosen, lost)

    def _turn(self, answer: Answer) -> Message:
        """The answer as a turn, with the placeholders that the examples have."""
        prompt = self._prompts.get(answer.prompt_id)
        if prompt is not None:
            answer = mask(Pair(prompt, answer), self._mask).pair.answer
        return Message(role="assistant", content=answer.text or None, tool_calls=answer.tool_calls)


def _rank(mark: Mark | None) -> int:
    return 1 if mark is None else 0 if mark.mark == "bad" else 2


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


def _value(signal: Signal | None) -> float:
    return 0.0 if signal is None else signal.value
