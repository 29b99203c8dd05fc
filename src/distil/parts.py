"""Students of a part of the training rows, through the stages train and evaluate, in a project folder of their own.

The validation prompts take the place of the test prompts, which are not looked at. For the learning curve and for active
collecting. What is done is not done again, so that whoever was interrupted resumes.
"""

from __future__ import annotations

from collections.abc import Sequence

from distil.config import Config
from distil.errors import UserError
from distil.evaluate import stage as evaluate
from distil.evaluate.metrics.own import is_own
from distil.progress import say
from distil.records import Example
from distil.runs.artifacts import Project
from distil.runs.jsonl import write_records
from distil.runs.schemas.summary import Summary
from distil.stage_states import step_state
from distil.train import stage as train


def as_tests(validation: Sequence[Example], most: int) -> list[Example]:
    """Validation rows as the test rows of a part, at most `most` of them, in an order of their own."""
    ordered = sorted(validation, key=lambda example: example.prompt_id)
    return [example.model_copy(update={"split": "test"}) for example in ordered[:most]]


def config_of_parts(project: Project, config: Config) -> Config:
    """The config for the students of parts: as for the real one, but without what costs money or needs other files."""
    student = config.student.model_copy(update={"model": project.placed(config.student.model)})
    section = config.train.model_copy(update={"early_stopping": None})
    if section.method == "logits" and section.signal == "cached":
        say("The cached signal belongs to the whole training set: parts of it are trained with train.method: sft.")
        section = section.model_copy(update={"method": "sft"})
    names = config.evaluate.metrics
    measured = config.evaluate.model_copy(
        update={
            "metrics": names if names == "default" else [_placed(project, name) for name in names],
            "baseline": False,
            "ceiling": False,
            "judge": None,
            "set_apart": {},
            "latency_prompts": 0,
            "limit": None,
        }
    )
    return config.model_copy(update={"student": student, "train": section, "evaluate": measured})


def _placed(project: Project, metric: str) -> str:
    """A metric from a file of the project, by its whole path: a part lies in a folder of its own."""
    return str(project.root.resolve() / metric) if is_own(metric) else metric


def measured_by(summary: Summary) -> str:
    """The metric that a student of a part is compared by: the one that decides, else the first that compares answers.

    Raises UserError where the configured metrics compare none.
    """
    if summary.primary in summary.metrics:
        return summary.primary
    for name, metric in summary.metrics.items():
        if metric.against != "nothing":
            return name
    raise UserError(
        "None of evaluate.metrics compares an answer with the teacher's or a reference, so students can't be compared. Set "
        "evaluate.metrics: default."
    )


def student_of_part(
    part: Project, config: Config, name: str, rows: Sequence[Example], tests: Sequence[Example]
) -> Summary:
    """Trains a student on `rows` and evaluates it on `tests`, unless that is done. part: the folder that holds it."""
    write_records(part.split("train"), rows)
    write_records(part.split("test"), tests)
    if step_state(part, config, "train", name).state != "done":
        train.run(part, config.train, config.student, name=name, teacher=config.teachers[0])
    teachers, student = config.teachers, config.student
    done = evaluate.unchanged(part, config.evaluate, name=name, teachers=teachers, student=student)
    return done or evaluate.run(part, config.evaluate, name=name, teachers=teachers, student=student)
