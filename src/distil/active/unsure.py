"""How unsure a student of the answers so far is about prompts, and whether that says anything about its errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from distil.active.choose import Floats, ranking
from distil.active.sizes import LEAST_ROWS
from distil.config import Config
from distil.evaluate.local import Candidate, answer
from distil.evaluate.predictions import sampling_for
from distil.parts import as_tests, config_of_parts, measured_by, student_of_part
from distil.records import Example, Message, Prediction, Prompt, Score
from distil.runs.artifacts import Project
from distil.runs.cache import Cache
from distil.runs.jsonl import read_examples, read_records
from distil.serve.calibration.confidence import confidence
from distil.serve.calibration.scored import as_reply

STUDENT = "active"
MOST_PROMPTS = 300
"""Validation prompts that it is measured on."""


class Knowledge(NamedTuple):
    """A student of the answers so far, measured on the validation prompts."""

    rows: int
    """That it learned."""
    metric: str
    score: float
    """Mean of the metric."""
    ranking: float | None
    """How well its uncertainty ranks its errors; None = its answers are all equally good."""


def too_few(project: Project) -> str:
    """Why no student can say where it is unsure, for a person; "" where one can."""
    for name in ("train", "validation"):
        count = sum(1 for _ in read_examples(project.split(name)))
        if count < LEAST_ROWS:
            return (
                f"There are {count} {name} rows, and at least {LEAST_ROWS} are needed to find where a student is unsure: this "
                "round is random."
            )
    return ""


def train(project: Project, config: Config) -> tuple[Project, Config, Knowledge]:
    """Trains a student on the training rows and measures it on the validation rows; the folder and config that hold it.

    Resumes. Raises what train and evaluate raise.
    """
    rows = list(read_examples(project.split("train")))
    tests = as_tests(list(read_examples(project.split("validation"))), MOST_PROMPTS)
    config = config_of_parts(project, config)
    config = config.model_copy(update={"train": config.train.model_copy(update={"method": "sft"})})
    part = Project(project.active_student)
    summary = student_of_part(part, config, STUDENT, rows, tests)
    metric = measured_by(summary)
    better = summary.metrics[metric].better
    values = {
        score.prompt_id: score.value
        for score in read_records(part.scores(STUDENT), Score)
        if score.metric == metric and score.model == STUDENT
    }
    predictions = [
        prediction
        for prediction in read_records(part.predictions(STUDENT), Prediction)
        if prediction.model == STUDENT and prediction.prompt_id in values
    ]
    quality = np.array([values[prediction.prompt_id] for prediction in predictions], dtype=np.float64)
    ordered = {"higher": quality, "lower": -quality, "one": -np.abs(quality - 1)}[better]
    unsure = uncertainty(predictions, config.serve.score)
    return part, config, Knowledge(len(rows), metric, float(quality.mean()), ranking(unsure, ordered))


def ask_student(project: Project, part: Project, config: Config, prompts: Sequence[Prompt]) -> Floats:
    """(n,) the student's uncertainty about each prompt. Its answers are kept, so that whoever was interrupted goes on."""
    candidate = Candidate(STUDENT, str(part.model(STUDENT)), config.student.dtype)
    section = config.evaluate
    run = answer(
        candidate,
        [_as_example(prompt) for prompt in prompts],
        sampling_for(config.teachers[0].sampling, "greedy"),
        Cache(project.cache),
        batch_size=section.batch_size,
        latency_prompts=0,
        seed=section.seed,
    )
    return uncertainty(run.predictions, config.serve.score)


def uncertainty(predictions: Sequence[Prediction], score: str) -> Floats:
    """(n,) 1 - confidence in each answer: of serve.score, by its least probable tokens by default; 1 for one that is cut off."""
    sure = [confidence(as_reply(prediction), score) for prediction in predictions]
    return np.array([1.0 - (value or 0.0) for value in sure], dtype=np.float64)


def _as_example(prompt: Prompt) -> Example:
    """What the student reads; the answer is not known."""
    return Example(
        id="",
        prompt_id=prompt.id,
        answer_id=None,
        messages=[*prompt.messages, Message(role="assistant", content="")],
        split="test",
        tools=prompt.tools,
        tool_choice=prompt.tool_choice,
        response_format=prompt.response_format,
    )
