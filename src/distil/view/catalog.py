"""What the page shows: every prompt with its answers, the evidence on them, their marks; searched, filtered and sorted.

Read once from the project's files; marks are read again whenever their file changes. Nothing is measured here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from distil.errors import UserError, did_you_mean
from distil.records import Answer, Prediction, Prompt, Verdict
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_records
from distil.runs.marks import read_marks
from distil.runs.schemas.evidence import Evidence, Signal
from distil.runs.schemas.marks import Mark

SPLITS = ("train", "validation", "test")
FACETS = ("dropped", "suspicious", "edited", "split", "teacher", "mark")
"""What rows can be filtered by, in the order of the page."""
SIGNALS = tuple(name for name, info in Evidence.model_fields.items() if info.annotation == Signal | None)
"""Names of the fields of `Evidence` that rows can be sorted by."""


@dataclass
class Known:
    """What `distil curate` wrote about one answer; all None where it has not run since the answer came."""

    evidence: Evidence | None = None
    verdict: Verdict | None = None
    split: str | None = None


class AnswerRow(NamedTuple):
    """One answer, with all that is known about it."""

    answer: Answer
    known: Known


@dataclass
class Row:
    """One prompt with its answers, side by side."""

    prompt: Prompt
    answers: list[AnswerRow] = field(default_factory=list)
    predictions: list[Prediction] = field(default_factory=list)
    searched: str = ""
    """All texts, case-folded."""
    values: dict[str, set[str]] = field(default_factory=dict)
    """Facet -> the values that its answers have; without marks, which change."""


class Found(NamedTuple):
    """One window of the rows that fit."""

    total: int
    rows: list[Row]
    facets: dict[str, dict[str, int]]
    """Facet -> value -> prompts, among the rows that fit the search and the other facets."""


class Catalog:
    """The rows of a project. Raises UserError when there are no prompts, or a file is broken."""

    def __init__(self, project: Project, student: str | None = None) -> None:
        if not project.prompts.exists() or not project.answers.exists():
            raise UserError(f"There are no answers in {project.root} yet. Run `distil collect` first.")
        self.project = project
        self._marks: dict[str, Mark] = {}
        self._marks_at: tuple[int, int] | None = None
        self.rows = list(_rows(project, student))
        self._by_id = {row.prompt.id: row for row in self.rows}
        self._answers = {each.answer.id: each.answer for row in self.rows for each in row.answers}

    @property
    def marks(self) -> Mapping[str, Mark]:
        """The mark of each answer that has one."""
        path = self.project.marks
        state = (path.stat().st_mtime_ns, path.stat().st_size) if path.exists() else None
        if state != self._marks_at:
            self._marks, self._marks_at = read_marks(path), state
        return self._marks

    def row(self, prompt_id: str) -> Row:
        """One row. Raises UserError when there is no such prompt."""
        if prompt_id not in self._by_id:
            raise UserError(f"There is no prompt {prompt_id!r} in {self.project.prompts}.")
        return self._by_id[prompt_id]

    def answer(self, answer_id: str) -> Answer:
        """One answer. Raises UserError when there is no such answer."""
        if answer_id not in self._answers:
            raise UserError(f"There is no answer {answer_id!r} in {self.project.answers}.")
        return self._answers[answer_id]

    def find(
        self, search: str, wanted: Mapping[str, str], *, sort: str = "", offset: int = 0, limit: int = 100
    ) -> Found:
        """The rows that contain all words of `search` and fit every facet in `wanted` (facet -> value).

        sort: a signal's name, highest value first; "" = the order of the prompts. Raises UserError on an unknown facet or signal.
        """
        check_query(wanted, sort)
        words, marks = search.casefold().split(), self.marks
        fitting: list[Row] = []
        counts: dict[str, Counter[str]] = {name: Counter() for name in FACETS}
        for row in self.rows:
            if not all(word in row.searched for word in words):
                continue
            marked = {marks[each.answer.id].mark for each in row.answers if each.answer.id in marks}
            values: dict[str, set[str]] = {**row.values, "mark": set(marked)}
            misses = [name for name, value in wanted.items() if value not in values[name]]
            if not misses:
                fitting.append(row)
            for name in FACETS:
                if not misses or misses == [name]:  # what this facet would show, the others being as they are
                    counts[name].update(values[name])
        if sort:
            fitting.sort(key=lambda row: -_highest(row, sort))
        facets = {name: dict(count.most_common()) for name, count in counts.items() if count}
        return Found(len(fitting), fitting[offset : offset + limit], facets)


def check_query(facets: Iterable[str], sort: str) -> None:
    """Raises UserError on a facet or a signal that there is none of."""
    for name in facets:
        if name not in FACETS:
            raise UserError(
                f"Found the facet {name!r}, expected one of {', '.join(FACETS)}.{did_you_mean(name, FACETS)}"
            )
    if sort and sort not in SIGNALS:
        raise UserError(
            f"Found the order {sort!r}, expected a signal: {', '.join(SIGNALS)}.{did_you_mean(sort, SIGNALS)}"
        )


def values_of(answers: Sequence[AnswerRow]) -> dict[str, set[str]]:
    """Facet -> the values that these answers have, without marks."""
    evidence = [each.known.evidence for each in answers if each.known.evidence is not None]
    return {
        "dropped": {each.known.verdict.filter for each in answers if each.known.verdict is not None},
        "suspicious": {name for found in evidence for name in found.suspicious},
        "edited": {name for found in evidence for name in (*found.edits, *(["mask"] if found.masked else []))},
        "split": {each.known.split for each in answers if each.known.split is not None},
        "teacher": {each.answer.teacher for each in answers},
    }


def _highest(row: Row, signal: str) -> float:
    found = [getattr(each.known.evidence, signal) for each in row.answers if each.known.evidence is not None]
    return max((abs(each.value) for each in found if each is not None), default=float("-inf"))


def _rows(project: Project, student: str | None) -> Iterator[Row]:
    answers: dict[str, list[AnswerRow]] = {}
    known = _known(project)
    for answer in read_records(project.answers, Answer):
        answers.setdefault(answer.prompt_id, []).append(AnswerRow(answer, known.get(answer.id, Known())))
    predictions: dict[str, list[Prediction]] = {}
    if student is not None and project.predictions(student).exists():
        for prediction in read_records(project.predictions(student), Prediction):
            if prediction.sample == 0:
                predictions.setdefault(prediction.prompt_id, []).append(prediction)
    for prompt in read_records(project.prompts, Prompt):
        row = Row(prompt, answers.get(prompt.id, []), predictions.get(prompt.id, []))
        row.searched, row.values = "\n".join(_texts(row)).casefold(), values_of(row.answers)
        yield row


def _known(project: Project) -> dict[str, Known]:
    found: defaultdict[str, Known] = defaultdict(Known)
    if project.evidence.exists():
        for evidence in read_records(project.evidence, Evidence):
            found[evidence.answer_id].evidence = evidence
    if project.dropped.exists():
        for verdict in read_records(project.dropped, Verdict):
            found[verdict.answer_id].verdict = verdict
    for split in SPLITS:
        if project.split(split).exists():
            for example in read_examples(project.split(split)):
                if example.answer_id is not None:
                    found[example.answer_id].split = split
    return found


def _texts(row: Row) -> Sequence[str]:
    texts = [message.text for message in row.prompt.messages]
    return [row.prompt.id, *texts, row.prompt.reference or "", *(each.answer.text for each in row.answers)]
