"""What a training reports (`TrainFacts`) and what its stage's manifest notes: inputs, outputs, seeds and facts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NotRequired, TypedDict

from distil.models.export import Figures
from distil.models.saved_template import template_hash, tokenizer_hash
from distil.records import Answer, Prompt
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_records, write_records
from distil.runs.manifest import StageRun, stage_run
from distil.runs.schemas.notes import TrainNotes
from distil.runs.schemas.trained import Trained, choosing
from distil.train.config import BY_TEXT
from distil.train.job import TrainJob


class TrainFacts(TypedDict):
    """What a training reports; becomes the manifest's notes."""

    steps: int
    """Optimizer steps."""
    seconds: float
    """From the first check to the saved model."""
    training_seconds: float
    """Of the loop, and of querying the teacher ahead of it."""
    examples: int
    dropped_for_length: int
    tokens_seen: int
    final: dict[str, float] | None
    """The last line of metrics.jsonl with a training loss."""
    validation: dict[str, float] | None
    """The last line with a validation loss."""
    micro_batch_tokens: int
    resumed_from: str | None
    """Name of the checkpoint."""
    device: str
    learning_rate: NotRequired[float]
    """The peak; a manifest of before it could be left open has it in its settings alone."""
    processes: int
    sharded: NotRequired[bool]
    checks: list[str]
    """What the self-check measured."""
    parity: NotRequired[Figures]
    """LoRA: the merged model compared with base and adapter."""


def adopt(job: TrainJob, facts: TrainFacts) -> None:
    """Writes the manifest of a training that a cluster's own launcher has run."""
    with stage_run(Project(job.root), "train", job.section.model_dump(mode="json"), job.name) as stage:
        note_inputs(stage, job)
        note_outputs(stage, job, facts)


def note_inputs(stage: StageRun, job: TrainJob) -> None:
    """Notes the files that a training reads, and the prompts that it learns from. Call it before the training."""
    project = stage.project
    stage.reads(project.split("train"))
    if project.split("validation").exists():
        stage.reads(project.split("validation"))
    if job.section.method == "on_policy" and job.section.rollout_unanswered:
        stage.reads(project.prompts)
    cached = job.section.method not in BY_TEXT and job.section.signal == "cached"
    if cached and (project.signals / "manifest.json").exists():
        stage.reads(project.signals / "manifest.json")
    if project.split("train").exists():
        write_records(project.trained(job.name), _learned(project, job))


def _learned(project: Project, job: TrainJob) -> Iterator[Trained]:
    """What the student learns from: an evaluation on any of it would measure memory."""
    yield from map(Trained.of, read_examples(project.split("train")))
    if job.section.method == "on_policy" and job.section.rollout_unanswered:
        answered = {a.prompt_id for a in read_records(project.answers, Answer)} if project.answers.exists() else set()
        for prompt in read_records(project.prompts, Prompt):
            if prompt.id not in answered and prompt.split in (None, "train"):
                yield Trained.of_prompt(prompt)


def _chose(stage: StageRun, job: TrainJob) -> list[str]:
    """Prompts by which early stopping chose the checkpoint; without it there are none."""
    path = stage.project.split("validation")
    if job.section.early_stopping is None or not path.exists():
        return []
    return [e.prompt_id for e in choosing(list(read_examples(path)))[: job.section.validation_examples]]


def note_outputs(stage: StageRun, job: TrainJob, facts: TrainFacts) -> None:
    """Notes what a training wrote and reported."""
    stage.seeds["train"] = job.section.seed
    stage.notes.update(facts)
    student, teacher = job.student.model_dump(mode="json"), job.teacher.model if job.teacher is not None else None
    saved = stage.project.model(job.name)
    notes = TrainNotes(
        student=student,
        teacher=teacher,
        partial=job.max_steps is not None,
        learning_rate=facts.get("learning_rate"),
        checks=facts["checks"],
        template=template_hash(saved),
        tokenizer=tokenizer_hash(saved),
        chose=_chose(stage, job),
    )
    stage.notes.update(notes.model_dump())
    stage.wrote(stage.project.model(job.name))
    for extra in (stage.project.metrics(job.name), stage.project.trained(job.name), stage.project.adapter(job.name)):
        if extra.exists():
            stage.wrote(extra)
