"""From predictions to values: every metric on every answer of every model, and the fields of JSON answers.

Not the statistics (aggregate.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from distil.evaluate.metrics import Case, function
from distil.evaluate.similarity import prepare
from distil.progress import track
from distil.records import Example, Prediction, Score
from distil.text import compare_fields, parse_object

Table = dict[str, dict[str, dict[str, float]]]
"""model -> metric (or field) -> prompt id -> value."""


class Scored(NamedTuple):
    """All values of one evaluation."""

    scores: list[Score]
    """One per prediction and metric that applies."""
    table: Table
    """The same by model, metric and prompt."""
    fields: Table
    """model -> field -> prompt id -> 1 or 0."""
    fields_against: Literal["reference", "teacher"] | None
    """What the fields were compared with; None = the answers are not JSON objects."""


def prompt_text(example: Example) -> str:
    """All turns that a model was shown."""
    return "\n".join(message.text for message in example.prompt_messages)


def score_all(
    examples: Sequence[Example], predictions: Mapping[str, Sequence[Prediction]], names: Sequence[str]
) -> Scored:
    """Scores predictions (model -> predictions) on the chosen metrics. The model `teacher` gave the examples' answers."""
    asked = {example.prompt_id: example for example in examples}
    if {"similarity", "similar_share"} & set(names):
        answers = [row.text for rows in predictions.values() for row in rows]
        prepare([*answers, *(example.answer for example in examples)])
    scores: list[Score] = []
    table: Table = {}
    cases = {model: [case_of(asked[row.prompt_id], row, model) for row in rows] for model, rows in predictions.items()}
    work = [(model, name) for model in predictions for name in names]
    for model, name in track(work, "scoring", unit="metrics"):
        rows = predictions[model]
        for row, value in zip(rows, function(name)(cases[model]), strict=True):
            if value is not None:
                scores.append(
                    Score(prediction_id=row.id, prompt_id=row.prompt_id, model=model, metric=name, value=value)
                )
                table.setdefault(model, {}).setdefault(name, {})[row.prompt_id] = value
    against = _fields_against(examples)
    return Scored(scores, table, _fields(asked, predictions, against) if against else {}, against)


def case_of(example: Example, prediction: Prediction, model: str) -> Case:
    """One answer as the metrics see it; the teacher's first answers are not compared with themselves."""
    return Case(
        prompt=prompt_text(example),
        answer=prediction.text,
        teacher=None if model == "teacher" else example.answer,
        reference=example.reference,
        finish_reason=prediction.finish_reason,
    )


def _fields_against(examples: Sequence[Example]) -> Literal["reference", "teacher"] | None:
    if any(parse_object(example.reference) for example in examples):
        return "reference"
    objects = sum(parse_object(example.answer) is not None for example in examples)
    return "teacher" if objects and objects >= 0.5 * len(examples) else None


def _fields(
    asked: Mapping[str, Example],
    predictions: Mapping[str, Sequence[Prediction]],
    against: Literal["reference", "teacher"],
) -> Table:
    table: Table = {}
    for model, rows in predictions.items():
        if model == "teacher" and against == "teacher":
            continue
        for row in rows:
            example = asked[row.prompt_id]
            target = parse_object(example.reference if against == "reference" else example.answer)
            for name, value in compare_fields(row.text, target or {}).fields.items():
                table.setdefault(model, {}).setdefault(name, {})[row.prompt_id] = float(value)
    return table
