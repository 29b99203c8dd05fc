"""The explorer's data: every test prompt with every model's answer, its scores and what is wrong with it.

Reads predictions.jsonl, scores.jsonl, test.jsonl and a person's marks. Nothing is scored here except the fields of JSON answers,
by the same comparison as the metric's. Short keys, because there may be thousands of rows; script/store.js reads them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from distil.evaluate.examples import read_test_set
from distil.evaluate.judge import preferences
from distil.evaluate.labels import label_of
from distil.evaluate.slices import known_parts
from distil.records import Example, Prediction, Score
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records
from distil.runs.marks import read_marks
from distil.runs.schemas.judge import Preference
from distil.runs.schemas.labels import Confusion, LabelReport
from distil.runs.schemas.marks import Mark
from distil.runs.schemas.summary import Summary
from distil.text import normalize_answer

CONFUSIONS = 12
MAX_LABELS = 20  # values of a field that are offered as a filter


class Column(NamedTuple):
    """One model of the explorer."""

    name: str
    label: str
    kind: str
    """teacher | ceiling | student | baseline | base."""
    answers: dict[str, Prediction]
    """Prompt id -> answer."""
    scores: dict[str, dict[str, Score]]
    """Prompt id -> metric -> score."""


class Cases(NamedTuple):
    """Everything that the explorer shows, before it is cut and packed."""

    headline: Summary
    examples: list[Example]
    columns: list[Column]
    slices: dict[str, dict[str, str]]
    """Field -> prompt id -> value."""
    apart: frozenset[str]
    """Prompts that do not count for the verdict."""
    groups: dict[str, str | None]
    """Prompt id -> group: prompts of one group are not independent."""
    marks: dict[str, Mark]
    """Answer id -> a person's mark."""
    preferences: dict[str, Preference]
    """Pair id -> what a person said about a student's answer beside the teacher's."""
    likeness: dict[str, list[float]]
    """Model -> similarity to the teacher's answer, one per prompt; `shuffled` = answers to other prompts."""


def test_set_exists(project: Project) -> bool:
    """Whether there is something that students could have been evaluated on: a test split, or all collected answers."""
    return project.split("test").exists() or (project.answers.exists() and project.prompts.exists())


def read_cases(
    project: Project, summaries: Mapping[str, Summary], headline: Summary, baselines: Sequence[str]
) -> Cases:
    """The headline student first; other students as far as they were asked the same prompts."""
    columns: list[Column] = []
    for name in [headline.name, *(n for n in summaries if n != headline.name)]:
        own = name == headline.name
        wanted = {name, *(("teacher", "ceiling", "base") if own else ())}
        columns += _columns(project, name, wanted, baselines)
    order = {"teacher": 0, "ceiling": 3, "base": 4}
    columns.sort(key=lambda c: order.get(c.name, 1 if c.name == headline.name else 2))
    asked = {prompt_id for column in columns if column.name == headline.name for prompt_id in column.answers}
    examples = [e for e in read_test_set(project, trained=False).examples if e.prompt_id in asked] if asked else []
    slices, apart = _slices(examples, headline)
    for report in confused(headline):  # fields that are labels can be filtered by what would have been right
        if report.field and report.field not in slices and len(report.labels) <= MAX_LABELS:
            known = {normalize_answer(row.label): row.label for row in report.labels}
            labels = {e.prompt_id: known.get(label_key(target_text(e, headline), report.field)) for e in examples}
            slices[report.field] = {key: label for key, label in labels.items() if label is not None}
    return Cases(
        headline=headline,
        examples=examples,
        columns=columns,
        slices=slices,
        apart=apart,
        groups={example.prompt_id: example.group for example in examples},
        marks=read_marks(project.marks),
        preferences={said.pair_id: said for said in preferences(project)},
        likeness=_likeness(project, headline.name),
    )


def _likeness(project: Project, name: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for score in read_records(project.scores(name), Score) if project.scores(name).exists() else []:
        if score.metric == "similarity":
            found.setdefault(score.model, []).append(score.value)
    return found


def _columns(project: Project, name: str, wanted: set[str], baselines: Sequence[str]) -> list[Column]:
    if not project.predictions(name).exists():
        return []
    answers: dict[str, dict[str, Prediction]] = {}
    scores: dict[str, dict[str, dict[str, Score]]] = {}
    for prediction in read_records(project.predictions(name), Prediction):
        if prediction.model in wanted and prediction.sample == 0:
            answers.setdefault(prediction.model, {})[prediction.prompt_id] = prediction
    for score in read_records(project.scores(name), Score) if project.scores(name).exists() else []:
        if score.model in wanted:
            scores.setdefault(score.model, {}).setdefault(score.prompt_id, {})[score.metric] = score
    kinds = {"teacher": "teacher", "ceiling": "ceiling", "base": "base"}
    labels = {"ceiling": "teacher again", "base": "base model"}
    return [
        Column(
            model,
            labels.get(model, model),
            kinds.get(model, "baseline" if model in baselines else "student"),
            answers[model],
            scores.get(model, {}),
        )
        for model in answers
    ]


def _slices(examples: Sequence[Example], summary: Summary) -> tuple[dict[str, dict[str, str]], frozenset[str]]:
    """(field -> prompt id -> value as the evaluation cuts the prompts; the prompts that are set apart)."""
    aside = {part.field: part.name for part in summary.slices if part.set_apart}
    apart = frozenset(e.prompt_id for e in examples if any(e.fields.get(f) == v for f, v in aside.items()))
    found: dict[str, dict[str, str]] = {}
    for field in aside:
        found[field] = {e.prompt_id: e.fields[field] for e in examples if field in e.fields}
    for part in known_parts([example for example in examples if example.prompt_id not in apart]):
        if part.field not in aside:
            found.setdefault(part.field, {}).update(dict.fromkeys(part.ids, part.name))
    return found, apart


def confused(summary: Summary) -> list[LabelReport]:
    """The student's label reports: whole answers, or fields of them."""
    return [report for report in summary.labels if report.model == summary.name]


def confusions(summary: Summary) -> list[tuple[str | None, Confusion]]:
    """(field, confusion) of the student, most frequent first; the explorer can filter by these."""
    found = [(report.field, row) for report in confused(summary) for row in report.confusions]
    return sorted(found, key=lambda pair: (-pair[1].count, pair[0] or "", pair[1].target, pair[1].answer))[:CONFUSIONS]


def confusion_text(field: str | None, row: Confusion) -> str:
    """`intent: refund → billing`."""
    return (f"{field}: " if field else "") + f"{row.target} → {row.answer}"


def label_key(text: str, field: str | None) -> str:
    """An answer's label as the reports compare it."""
    return normalize_answer(label_of(text, field))


def target_text(example: Example, summary: Summary) -> str:
    """What an answer was scored against."""
    return (example.reference if target_of(summary) == "reference" else example.answer) or ""


def target_of(summary: Summary) -> str:
    """reference | teacher: what the deciding metric compares with; a judge compares with the teacher."""
    info = summary.metrics.get(summary.primary)
    return "reference" if info is not None and info.against == "reference" else "teacher"


def metric_label(summary: Summary) -> str:
    """The deciding metric for people."""
    if summary.deciding is not None:
        return summary.deciding.label
    info = summary.metrics.get(summary.primary)
    return info.label if info else summary.primary
