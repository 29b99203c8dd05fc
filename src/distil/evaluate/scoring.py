"""From predictions to values: every metric on every answer of every model, and the fields of JSON answers.

Not the statistics (aggregate.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from distil.evaluate.likelihood import Likelihood
from distil.evaluate.metrics import METRICS, Case, function
from distil.evaluate.similarity import prepare
from distil.fields import compare_fields
from distil.ids import content_id
from distil.progress import track
from distil.records import Example, Prediction, Score
from distil.text import parse_object

Table = dict[str, dict[str, dict[str, float]]]
"""model -> metric (or field) -> prompt id -> value."""


class Scored(NamedTuple):
    """All values of one evaluation."""

    scores: list[Score]
    """One per prediction and metric that applies."""
    table: Table
    """The same by model, metric and prompt."""
    fields: Table
    """model -> field (path in the JSON answer) -> prompt id -> how right, 0 to 1."""
    fields_against: Literal["reference", "teacher"] | None
    """What the fields were compared with; None = the answers are not JSON objects."""


def prompt_text(example: Example) -> str:
    """All turns that a model was shown."""
    return "\n".join(message.text for message in example.prompt_messages)


SHUFFLED = "shuffled"
"""The model that answers every prompt with the teacher's answer to another one: what an unrelated answer scores."""
_EMBEDDED = {"similarity", "similar_share", "self_similarity"}


def score_all(
    examples: Sequence[Example],
    predictions: Mapping[str, Sequence[Prediction]],
    names: Sequence[str],
    seed: int = 0,
    likelihoods: Mapping[str, Mapping[str, Likelihood]] | None = None,
) -> Scored:
    """Scores predictions (model -> predictions) on the chosen metrics. The model `teacher` gave the examples' answers.

    The model `shuffled` is added for the metrics against teacher or reference. likelihoods: model -> prompt id -> what its logits
    say about the teacher's answer, where that was measured.
    """
    asked = {example.prompt_id: example for example in examples}
    if _EMBEDDED & set(names):
        answers = [row.text for rows in predictions.values() for row in rows]
        prepare([*answers, *(example.answer for example in examples)])
    scores: list[Score] = []
    table: Table = {}
    answered = {**predictions, SHUFFLED: shuffled_answers(examples, seed)}
    logits = likelihoods or {}
    cases = {
        model: [case_of(asked[row.prompt_id], row, model, logits.get(model, {}).get(row.prompt_id)) for row in rows]
        for model, rows in answered.items()
    }
    work = [(model, name) for model in answered for name in names if model != SHUFFLED or _compares(name)]
    for model, name in track(work, "scoring", unit="metrics"):
        for row, value in zip(answered[model], function(name)(cases[model]), strict=True):
            if value is not None:
                scores.append(
                    Score(prediction_id=row.id, prompt_id=row.prompt_id, model=model, metric=name, value=value)
                )
                table.setdefault(model, {}).setdefault(name, {})[row.prompt_id] = value
    against = _fields_against(examples)
    return Scored(scores, table, _fields(asked, predictions, against) if against else {}, against)


def _compares(name: str) -> bool:
    return METRICS[name].against != "nothing"


def shuffled_answers(examples: Sequence[Example], seed: int) -> list[Prediction]:
    """The teacher's answers dealt to other prompts, in one cycle through all; empty for fewer than two prompts."""
    if len(examples) < 2:
        return []
    order = np.random.default_rng(seed).permutation(len(examples))
    partner = np.empty(len(examples), dtype=np.int64)
    partner[order] = np.roll(order, 1)  # nobody is their own partner
    return [
        Prediction(
            id=content_id("prediction", [example.prompt_id, SHUFFLED, 0]),
            prompt_id=example.prompt_id,
            model=SHUFFLED,
            text=examples[int(other)].answer,
            tool_calls=examples[int(other)].messages[-1].tool_calls,
            finish_reason="stop",
            output_tokens=0,
        )
        for example, other in zip(examples, partner, strict=True)
    ]


def case_of(example: Example, prediction: Prediction, model: str, likelihood: Likelihood | None = None) -> Case:
    """One answer as the metrics see it; the teacher's first answers are not compared with themselves."""
    own = model == "teacher"
    return Case(
        prompt=prompt_text(example),
        answer=prediction.text,
        teacher=None if own else example.answer,
        reference=example.reference,
        finish_reason=prediction.finish_reason,
        tool_calls=prediction.tool_calls or (),
        teacher_tool_calls=() if own else example.messages[-1].tool_calls or (),
        response_format=example.response_format,
        prompt_id=example.prompt_id,
        fields=example.fields,
        nll=likelihood.nll if likelihood else None,
        kl=likelihood.kl if likelihood else None,
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
                table.setdefault(model, {}).setdefault(name, {})[row.prompt_id] = value
    return table
