"""The explorer's rows: one per test prompt, with what is wrong in every answer, under short keys because there may be thousands.

script/store.js reads them. Nothing is scored here; fields of JSON answers are compared as the metric compares them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from distil.evaluate.judge.people import pair_id
from distil.fields import compare_fields
from distil.records import Example, Message, Prediction
from distil.report import formatting
from distil.report.cases import (
    Cases,
    Column,
    confusion_text,
    confusions,
    label_key,
    metric_label,
    target_of,
    target_text,
)
from distil.report.payload import Cut, Cutter
from distil.runs.schemas.summary import Summary
from distil.text import Json, instructions, normalize_answer, parse_object, spoken_turns

Known = tuple[str | None, str, str]
"""A confusion: (field, what would be right, what was given), both as they are compared."""


def payload(cases: Cases, cut: Cutter) -> dict[str, Json]:
    """What script/store.js unpacks: models, checks, slices and one row per prompt."""
    summary = cases.headline
    checks = [guard.metric for guard in summary.guards if guard.metric in summary.metrics]
    facets = {field: list(dict.fromkeys(values.values())) for field, values in cases.slices.items()}
    systems = Counter(instructions(example.messages) for example in cases.examples)
    system = systems.most_common(1)[0][0] if systems else ""
    known = [(f, normalize_answer(c.target), normalize_answer(c.answer)) for f, c in confusions(summary)]
    share = summary.primary in formatting.SHARES
    return {
        "student": summary.name,
        "metric": {"name": summary.primary, "label": metric_label(summary), "share": share},
        "goal": 1.0 if share else summary.goals.get("goal_similarity", 1.0),
        "target": target_of(summary),
        "system": cut(system),
        "models": [{"name": c.name, "label": c.label, "kind": c.kind} for c in cases.columns],
        "checks": [{"name": name, "label": _check_label(summary, name)} for name in checks],
        "confusions": [confusion_text(field, row) for field, row in confusions(summary)],
        "facets": [{"field": field, "values": list(values)} for field, values in facets.items()],
        "rows": [_row(cases, example, checks, facets, system, known, cut) for example in cases.examples],
    }


def _check_label(summary: Summary, name: str) -> str:
    info = summary.metrics[name]
    return info.label if info.better == "lower" else f"not: {info.label}"


def _row(
    cases: Cases,
    example: Example,
    checks: Sequence[str],
    facets: Mapping[str, Sequence[str]],
    system: str,
    known: Sequence[Known],
    cut: Cutter,
) -> dict[str, Json]:
    key, summary = example.prompt_id, cases.headline
    target = parse_object(target_text(example, summary))
    answers = [column.answers.get(key) for column in cases.columns]
    own = instructions(example.messages)
    row: dict[str, Json] = {
        "i": key,
        "q": _turns(example.prompt_messages, cut),
        "r": None if example.reference is None else cut(example.reference),
        "a": [None if answer is None else cut(shown(answer)) for answer in answers],
        "s": [_value(column, key, summary.primary) for column in cases.columns],
        "c": [[n for n, name in enumerate(checks) if _fails(summary, column, key, name)] for column in cases.columns],
        "f": [_place(values, cases.slices[field].get(key)) for field, values in facets.items()],
    }
    if own != system:
        row["y"] = cut(own)
    if target is not None:
        row["w"] = [None if answer is None else _wrong(answer.text, target) for answer in answers]
    if mistaken := _mistaken(cases, example, known):
        row["k"] = mistaken
    if (mark := cases.marks.get(example.answer_id or "")) is not None:
        row["m"] = [mark.mark != "bad", mark.reason]
    if reasons := [*_said_by_people(cases, example, cut), *_reasons(cases, key, cut)]:
        row["j"] = reasons
    return row


def _mistaken(cases: Cases, example: Example, known: Sequence[Known]) -> list[Json]:
    """Which of the student's confusions this prompt is one of, by their place in `confusions`."""
    mine = next((c.answers.get(example.prompt_id) for c in cases.columns if c.name == cases.headline.name), None)
    if mine is None or example.prompt_id in cases.apart:
        return []
    target = target_text(example, cases.headline)
    return [
        n
        for n, (field, right, given) in enumerate(known)
        if label_key(target, field) == right and label_key(mine.text, field) == given
    ]


def shown(prediction: Prediction) -> str:
    """An answer as a person reads it: its text, then its tool calls as `name(arguments)`."""
    calls = [call.get("function", {}) for call in prediction.tool_calls or []]
    lines = [f"{call.get('name', '?')}({call.get('arguments', '')})" for call in calls]
    return "\n".join([*([prediction.text] if prediction.text or not lines else []), *lines])


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


def _said_by_people(cases: Cases, example: Example, cut: Cutter) -> list[Json]:
    """As `_reasons`: which answer a person preferred, for each student, and why."""
    found: list[Json] = []
    for column in cases.columns:
        answer = column.answers.get(example.prompt_id)
        said = answer and cases.preferences.get(pair_id(example.prompt_id, answer.text, example.answer))
        if said:
            whom = {"student": column.label, "teacher": "the teacher", "tie": "neither"}[said.preferred]
            found.append([column.label, "a person prefers", whom, cut(said.reason)])
    return found


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
