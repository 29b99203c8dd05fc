"""Gathers what every model says to the test prompts, and how big and fast the local ones are.

Answers that an earlier evaluation made under the same conditions are taken over. Not the scoring. Called by stage.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from distil.calls.config import TeacherConfig
from distil.errors import UserError, WorkFailed
from distil.evaluate import local, remote
from distil.evaluate.config import EvaluateConfig
from distil.evaluate.local import Candidate
from distil.ids import content_id
from distil.models.config import StudentConfig
from distil.records import Example, Prediction, Sampling
from distil.runs.artifacts import Project
from distil.runs.schemas.summary import Size, Speed


class Answers(NamedTuple):
    """What every model said, and how big and fast it is."""

    predictions: dict[str, list[Prediction]]
    size: dict[str, Size]
    speed: dict[str, Speed]
    keys: dict[str, str]
    usd: float
    notes: list[str]


def gather(
    project: Project,
    section: EvaluateConfig,
    examples: list[Example],
    *,
    name: str,
    teachers: list[TeacherConfig],
    student: StudentConfig,
) -> Answers:
    """The student's and the base's answers, the teacher's from the test file, and the teacher's second ones."""
    teacher = remote.teacher_of(examples, teachers)
    sampling = sampling_for(teacher.sampling, section.sampling)
    sources = [Candidate(name, str(project.model(name)), student.dtype)]
    if section.baseline:
        sources.append(Candidate("base", project.placed(student.model), student.dtype))
    answers = Answers({"teacher": _given(examples)}, {}, {}, {}, 0.0, [])
    usd = _second_answers(project, section, examples, teachers, answers) if section.ceiling else 0.0
    if not section.ceiling:
        answers.notes.append(
            "The teacher was not asked a second time (evaluate.ceiling is false): there is no ceiling."
        )
    for source in sources:
        key = local.prediction_key(source, examples, sampling, section.seed)
        found = local.earlier(project, key, source.label) or local.answer(
            source,
            examples,
            sampling,
            batch_size=section.batch_size,
            latency_prompts=section.latency_prompts,
            seed=section.seed,
        )
        answers.predictions[source.label] = found.predictions
        answers.size[source.label], answers.speed[source.label] = found.size, found.speed
        answers.keys[source.label] = key
    _teacher_speed(project, section, examples, teacher, sampling, answers)
    return answers._replace(usd=usd)


def sampling_for(teacher: Sampling, how: str) -> Sampling:
    """How the student answers: the teacher's limits always, its temperature only on request."""
    greedy = {"temperature": 0.0, "top_p": 1.0} if how == "greedy" else {}
    return teacher.model_copy(update={**greedy, "top_logprobs": None, "reasoning_effort": None})


def _given(examples: Sequence[Example]) -> list[Prediction]:
    """The teacher's answers in the test file, as predictions. Tokens are not known there: words stand in."""
    return [
        Prediction(
            id=content_id("prediction", [example.prompt_id, "teacher", 0]),
            prompt_id=example.prompt_id,
            model="teacher",
            text=example.answer,
            finish_reason="stop",
            output_tokens=len(example.answer.split()),
        )
        for example in examples
    ]


def _second_answers(
    project: Project,
    section: EvaluateConfig,
    examples: list[Example],
    teachers: list[TeacherConfig],
    answers: Answers,
) -> float:
    try:
        asked = remote.ask_all(
            project.ledger,
            teachers,
            remote.again(examples, teachers),
            budget_usd=section.budget_usd,
            label="teacher again",
        )
    except (UserError, WorkFailed) as error:
        answers.notes.append(f"The ceiling is missing, because the teacher could not be asked a second time: {error}")
        return 0.0
    if asked.why_incomplete:
        answers.notes.append(f"Second answers of the teacher: {asked.why_incomplete}")
    predictions = remote.as_predictions(examples, asked.replies)
    if predictions:
        answers.predictions["ceiling"] = predictions
        latencies = [p.latency_s for p in predictions if p.latency_s]
        answers.speed["teacher"] = local.speed_of(latencies, None, "remote")
    return asked.usd


def _teacher_speed(
    project: Project,
    section: EvaluateConfig,
    examples: list[Example],
    teacher: TeacherConfig,
    sampling: Sampling,
    answers: Answers,
) -> None:
    ref = section.local_teacher
    if ref is None and teacher.model.startswith(("bundled/", "local/")):
        ref = project.placed(teacher.model).removeprefix("local/")
    if ref is None:
        return
    source = Candidate("teacher", ref, "auto")
    key = local.prediction_key(source, examples, sampling, section.seed)
    size, speed = local.earlier_speed(project, key) or local.measure(
        source,
        examples,
        sampling,
        batch_size=section.batch_size,
        latency_prompts=section.latency_prompts,
    )
    answers.size["teacher"], answers.speed["teacher"] = size, speed
    answers.keys["teacher"] = key
