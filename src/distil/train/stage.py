"""Stage `train`: curate's examples (and a teacher's distributions) in, work/train/NAME out.

Reads train.jsonl and validation.jsonl (and signals/ for `signal: cached`); writes metrics.jsonl, model/, adapter/ for
LoRA, and the manifest last. Start here, then run.py (the order of events) and trainer.py (one step).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from distil.calls.config import TeacherConfig
from distil.errors import UserError, WorkFailed
from distil.models.config import StudentConfig
from distil.progress import say
from distil.runs.artifacts import Project
from distil.runs.manifest import read_manifest, stage_run
from distil.runs.schemas.notes import TrainNotes
from distil.runs.schemas.provider_job import read_provider_job
from distil.runs.schemas.training_run import note_end
from distil.train.checkpoints import put_aside
from distil.train.config import TrainConfig
from distil.train.job import TrainJob
from distil.train.launch import torchrun
from distil.train.manifest import TrainFacts, note_inputs, note_outputs


@dataclass(frozen=True)
class TrainResult:
    """A finished training."""

    name: str
    """Of the student."""
    model: Path
    """Its Hugging Face folder."""
    steps: int
    """Optimizer steps."""
    examples: int
    """Training examples."""
    seconds: float
    """From the first check to the saved model."""
    loss: float | None
    """The last logged training loss per token."""
    validation_loss: float | None
    """The last validation loss per token."""
    facts: TrainFacts = field(repr=False)
    """The notes of the manifest."""
    before: bool = False
    """Whether it was finished before and is only reported."""

    def rows(self) -> list[tuple[str, str]]:
        """For a table."""
        losses = [("training loss", self.loss), ("validation loss", self.validation_loss)]
        return [
            ("student", self.name),
            ("model", str(self.model)),
            ("examples", f"{self.examples:,}"),
            ("steps", f"{self.steps:,}"),
            *([("learning rate", f"{rate:g}")] if (rate := self.facts.get("learning_rate")) is not None else []),
            ("seconds", f"{self.seconds:,.1f}"),
            *((label, f"{value:.4f}") for label, value in losses if value is not None),
        ]

    def __str__(self) -> str:
        loss = "" if self.loss is None else f", loss {self.loss:.3f}"
        held_out = "" if self.validation_loss is None else f" ({self.validation_loss:.3f} on held-out examples)"
        size = f"{self.steps:,} steps over {self.examples:,} examples in {self.seconds:,.0f} s"
        return f"Trained {self.name}: {size}{loss}{held_out}. {self.model}"


def run(
    project: Project,
    section: TrainConfig,
    student: StudentConfig,
    *,
    name: str,
    teacher: TeacherConfig | None = None,
    max_steps: int | None = None,
    force: bool = False,
) -> TrainResult:
    """Trains one student and writes its manifest. Resumes an interrupted or killed training of the same settings and data.

    force: start over; checkpoints of an unfinished training are put aside. Raises UserError before the first step for anything
    that is wrong with settings, data, models, caches or servers, and for checkpoints of another training; Interrupted after
    Ctrl-C; WorkFailed when a proof of the start fails, the loss stops being a number or memory runs out.
    """
    if not name or "/" in name or name.startswith("."):
        raise UserError(f"A student can't be called {name!r}: the name becomes a folder. Use letters, digits, - and _.")
    _require_here(project, name)
    job = TrainJob(project.root, name, section, student, teacher, max_steps)
    with stage_run(project, "train", section.model_dump(mode="json"), name) as stage:
        note_inputs(stage, job)
        if force and (aside := put_aside(job.folder)) is not None:
            say(f"The checkpoints of the unfinished training are now in {aside}.")
        if section.processes > 1:
            try:
                facts = torchrun(job)
            except WorkFailed as error:
                note_end(project.training_run(name), str(error))
                raise
        else:
            from distil.train.run import train_student  # loads transformers' Trainer, which takes seconds

            facts = train_student(job)
        note_outputs(stage, job, facts)
    return _result(project, name, facts)


def finished(project: Project, name: str) -> bool:
    """Whether a whole training of this name is there (not a trial with --max-steps)."""
    notes = TrainNotes.of(manifest) if (manifest := read_manifest(project, "train", name)) is not None else None
    return notes is not None and notes.provider is None and not notes.partial


def kept(project: Project, name: str, *, trial: bool) -> TrainResult:
    """The finished training that is there, instead of doing it again. trial: it would be replaced by one with --max-steps.

    Says so in one line; raises UserError for a trial, which was not done.
    """
    _require_here(project, name)
    manifest = read_manifest(project, "train", name)
    assert manifest is not None
    if trial:
        raise UserError(
            f"{name} is a finished training, and a trial with --max-steps would replace its model. Give the trial another name "
            f"(`distil train --as trial --max-steps N`), or add --force."
        )
    say(
        f"{name} is trained already, on this data and with these settings. `distil train --as {name} --force` does it again."
    )
    return replace(_result(project, name, cast("TrainFacts", manifest.notes)), before=True)


def _require_here(project: Project, name: str) -> None:
    """Raises UserError for a student that is tuned at a provider."""
    if (tuned := read_provider_job(project.provider_job(name))) is not None:
        raise UserError(
            f"{name!r} is tuned at {tuned.provider}. Do it again there: distil train --provider {tuned.provider} --as {name} "
            "--force; "
            f"or train one here under another name: --as {name}-here."
        )


def _result(project: Project, name: str, facts: TrainFacts) -> TrainResult:
    final, held_out = facts.get("final") or {}, facts.get("validation") or {}
    return TrainResult(
        name=name,
        model=project.model(name),
        steps=facts["steps"],
        examples=facts["examples"],
        seconds=facts["seconds"],
        loss=final.get("loss"),
        validation_loss=held_out.get("eval_loss"),
        facts=facts,
    )
