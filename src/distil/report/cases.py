"""The explorer's data: every test prompt with every model's answer, its scores and what is wrong with it.

Reads predictions.jsonl, scores.jsonl, test.jsonl and a person's marks. Nothing is scored here except the fields of JSON answers,
by the same comparison as the metric's. Short keys, because there may be thousands of rows; script/store.js reads them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from distil.evaluate.slices import known_parts
from distil.fields import compare_fields
from distil.records import Example, Message, Prediction, Score, Verdict
from distil.report import formatting
from distil.report.payload import Cut, Cutter
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_records
from distil.runs.schemas.summary import Summary
from distil.text import Json, instructions, parse_object, spoken_turns


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
    marks: dict[str, Verdict]
    """Answer id -> a person's mark."""
    likeness: dict[str, list[float]]
    """Model -> similarity to the teacher's answer, one per prompt; `shuffled` = answers to other prompts."""


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
    examples = [e for e in read_examples(project.split("test")) if e.prompt_id in asked] if asked else []
    marks = read_records(project.marks, Verdict) if project.marks.exists() else []
    slices, apart = _slices(examples, headline)
    return Cases(
        headline=headline,
        examples=examples,
        columns=columns,
        slices=slices,
        apart=apart,
        groups={example.prompt_id: example.group for example in examples},
        marks={mark.answer_id: mark for mark in marks},
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
    labels = {"ceiling": "teacher, second answer", "base": "base model"}
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


def payload(cases: Cases, cut: Cutter) -> dict[str, Json]:
    """What script/store.js unpacks: models, checks, slices and one row per prompt."""
    summary = cases.headline
    checks = [guard.metric for guard in summary.guards if guard.metric in summary.metrics]
    facets = {field: list(dict.fromkeys(values.values())) for field, values in cases.slices.items()}
    systems = Counter(instructions(example.messages) for example in cases.examples)
    system = systems.most_common(1)[0][0] if systems else ""
    share = summary.primary in formatting.SHARES
    return {
        "student": summary.name,
        "metric": {"name": summary.primary, "label": metric_label(summary), "share": share},
        "goal": 1.0 if share else summary.goals.get("goal_similarity", 1.0),
        "target": target_of(summary),
        "system": cut(system),
        "models": [{"name": c.name, "label": c.label, "kind": c.kind} for c in cases.columns],
        "checks": [{"name": name, "label": _check_label(summary, name)} for name in checks],
        "facets": [{"field": field, "values": list(values)} for field, values in facets.items()],
        "rows": [_row(cases, example, checks, facets, system, cut) for example in cases.examples],
    }


def _check_label(summary: Summary, name: str) -> str:
    info = summary.metrics[name]
    return info.label if info.better == "lower" else f"not: {info.label}"


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


def _row(
    cases: Cases,
    example: Example,
    checks: Sequence[str],
    facets: Mapping[str, Sequence[str]],
    system: str,
    cut: Cutter,
) -> dict[str, Json]:
    key, summary = example.prompt_id, cases.headline
    target = parse_object(example.reference if target_of(summary) == "reference" else example.answer)
    answers = [column.answers.get(key) for column in cases.columns]
    own = instructions(example.messages)
    row: dict[str, Json] = {
        "i": key,
        "q": _turns(example.prompt_messages, cut),
        "r": None if example.reference is None else cut(example.reference),
        "a": [None if answer is None else cut(answer.text) for answer in answers],
        "s": [_value(column, key, summary.primary) for column in cases.columns],
        "c": [[n for n, name in enumerate(checks) if _fails(summary, column, key, name)] for column in cases.columns],
        "f": [_place(values, cases.slices[field].get(key)) for field, values in facets.items()],
    }
    if own != system:
        row["y"] = cut(own)
    if target is not None:
        row["w"] = [None if answer is None else _wrong(answer.text, target) for answer in answers]
    if (mark := cases.marks.get(example.answer_id or "")) is not None:
        row["m"] = [mark.keep, mark.reason]
    if reasons := _reasons(cases, key, cut):
        row["j"] = reasons
    return row


def _turns(messages: Sequence[Message], cut: Cutter) -> Json:
    """One text for a single question, else [role, text] for each turn."""
    spoken = spoken_turns(messages)
    if len(spoken) == 1:
        return cut(spoken[0].text)
    return {"turns": [[message.role, cut(message.text)] for message in spoken]}


def _value(column: Column, prompt_id: str, metric: str) -> float | None:
    score = column.scores.get(prompt_id, {}).get(metric)
    return None if score is None else round(score.value, 4)


def _fails(summary: Summary, column: Column, prompt_id: str, metric: str) -> bool:
    value = _value(column, prompt_id, metric)
    if value is None:
        return False
    return value > 0 if summary.metrics[metric].better == "lower" else value < 1


def _wrong(answer: str, target: Mapping[str, Json]) -> list[Json]:
    """Fields that are wrong or missing, then invented ones; [None] for an answer that is not a JSON object."""
    if parse_object(answer) is None:
        return [None]
    compared = compare_fields(answer, target)
    return [*(path for path, same in compared.fields.items() if same < 1), *compared.extra]


def _place(values: Sequence[str], value: str | None) -> int | None:
    return None if value is None else values.index(value)


def _reasons(cases: Cases, prompt_id: str, cut: Cutter) -> list[Json]:
    """[model, metric, value, words] of every score that carries words, such as the judge's reason."""
    found: list[Json] = []
    for column in cases.columns:
        for score in column.scores.get(prompt_id, {}).values():
            if score.detail:
                label = cases.headline.metrics.get(score.metric)
                words: Cut = cut(score.detail)
                found.append([column.label, label.label if label else score.metric, round(score.value, 4), words])
    return found
