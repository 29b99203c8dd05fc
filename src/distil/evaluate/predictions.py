"""Gathers the answers of every model to the test prompts, and how big and fast the local models are.

Answers that exist are not made again: the cache has those of local models (local.py), the ledger those that were paid. Not the
scoring.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from distil.calls.config import TeacherConfig
from distil.errors import UserError, WorkFailed
from distil.evaluate import local, remote
from distil.evaluate.config import EvaluateConfig
from distil.evaluate.given import Given
from distil.evaluate.local import Candidate
from distil.ids import content_id
from distil.judging.asking import Asked, ask_all
from distil.models.config import StudentConfig
from distil.models.template import base_template
from distil.records import Example, Prediction, Sampling
from distil.runs.artifacts import Project
from distil.runs.cache import Cache
from distil.runs.schemas.summary import Size, Speed


@dataclass
class Predictions:
    """The answers of every model to the test prompts, and how big and fast the models are; filled step by step by `gather`."""

    by_model: dict[str, list[Prediction]]
    size: dict[str, Size] = field(default_factory=dict)
    speed: dict[str, Speed] = field(default_factory=dict)
    usd: float = 0.0
    usd_per_1000: dict[str, float] = field(default_factory=dict)
    """Model -> dollars for 1,000 requests like the test prompts, where it was billed."""
    sources: list[Candidate] = field(default_factory=list)
    """The local models that answered."""
    local_teacher: str | None = None
    """Where a local copy of the teacher is."""
    complete: bool = True
    """False when a model could not be asked for all: the next run may get more."""
    missing: list[str] = field(default_factory=list)
    """What a model was asked for and did not give, also where no run would get more."""
    notes: list[str] = field(default_factory=list)
    """For a person: what is missing, and why."""

    def lacks(self, *lines: str, final: bool) -> None:
        """Something is missing. final: no later run would get it."""
        self.missing += lines
        self.notes += lines
        self.complete = self.complete and final


def gather(
    project: Project,
    section: EvaluateConfig,
    examples: list[Example],
    *,
    name: str,
    teachers: list[TeacherConfig],
    student: StudentConfig,
    given: Given | None = None,
) -> Predictions:
    """The student's and the base's answers, the teacher's from the test file, and the teacher's second ones.

    given: the answers of a student that was not trained here; it has no base to compare it with.
    """
    teacher = remote.teacher_of(teachers)
    sampling = sampling_for(teacher.sampling, section.sampling)
    sources = [Candidate(name, str(project.model(name)), student.dtype)] if given is None else []
    if section.baseline and given is None:
        template = base_template(student, project)
        sources.append(Candidate("base", project.placed(student.model), student.dtype, template))
    predictions = Predictions({"teacher": _given(examples)}, sources=sources)
    if section.ceiling:
        _add_ceiling(predictions, project.ledger, section.budget_usd, examples, teachers)
    else:
        predictions.notes.append("evaluate.ceiling is false: no second answers of the teacher, so there is no ceiling.")
    if given is not None:
        _add_given(predictions, name, given)
    cache = Cache(project.cache)
    sizes = {"batch_size": section.batch_size, "latency_prompts": section.latency_prompts}
    for source in sources:
        run = local.answer(source, examples, sampling, cache, seed=section.seed, **sizes)
        predictions.by_model[source.label] = run.predictions
        predictions.size[source.label], predictions.speed[source.label] = run.size, run.speed
    ref = section.local_teacher
    if ref is None and teacher.model.startswith(("bundled/", "local/")):
        ref = project.placed(teacher.model).removeprefix("local/")
    if ref is not None:
        predictions.local_teacher = ref
        source = Candidate("teacher", ref, "auto")
        measured = local.measure(source, examples, sampling, cache, **sizes)
        predictions.size["teacher"], predictions.speed["teacher"] = measured
    return predictions


def sampling_for(teacher: Sampling, how: str) -> Sampling:
    """How the student answers: the teacher's limits always, its temperature only on request."""
    greedy = {"temperature": 0.0, "top_p": 1.0} if how == "greedy" else {}
    return teacher.model_copy(update={**greedy, "top_logprobs": None, "reasoning_effort": None})


def _given(examples: Sequence[Example]) -> list[Prediction]:
    """The teacher's answers in the test file, as predictions; words are counted in place of tokens."""
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


def _add_given(predictions: Predictions, name: str, given: Given) -> None:
    predictions.by_model[name] = given.predictions
    predictions.notes += given.notes
    predictions.usd += given.usd
    predictions.lacks(*given.missing, final=given.complete)
    if given.speed is not None:
        predictions.speed[name] = given.speed
    if given.usd_per_1000 is not None:
        predictions.usd_per_1000[name] = given.usd_per_1000


def _add_ceiling(
    predictions: Predictions,
    ledger: Path,
    budget_usd: float | None,
    examples: list[Example],
    teachers: list[TeacherConfig],
) -> None:
    requests = remote.again(examples, teachers)
    try:
        asked = ask_all(
            ledger, teachers, requests, budget_usd=budget_usd, label="teacher again", cap_option=remote.CAP_OPTION
        )
    except (UserError, WorkFailed) as error:
        why = f"The ceiling is missing, because the teacher could not be asked a second time: {error}"
        predictions.lacks(why, final=Asked([], 0.0, why, error).ends_here(teachers))
        return
    if asked.why_incomplete:
        why = f"Second answers of the teacher: {asked.why_incomplete}"
        predictions.lacks(why, final=asked.ends_here(teachers))
    predictions.usd += asked.usd
    ceiling = remote.as_predictions(examples, asked.replies)
    if ceiling:
        predictions.by_model["ceiling"] = ceiling
        latencies = [p.latency_s for p in ceiling if p.latency_s]
        predictions.speed["teacher"] = local.speed_of(latencies, None, "remote")
