"""Stage `train`: curate's examples (and a teacher's distributions) in, work/train/NAME out.

Reads train.jsonl and validation.jsonl (and signals/ for `signal: cached`); writes metrics.jsonl, model/, adapter/ for
LoRA, and the manifest last. Called by `distil train`, `distil run` and the demo. Heavy imports happen in work.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distil.calls.config import TeacherConfig
from distil.errors import UserError
from distil.models.config import StudentConfig
from distil.runs.artifacts import Project
from distil.runs.manifest import StageRun, stage_run
from distil.runs.schemas.notes import TrainNotes
from distil.train.config import TrainConfig

if TYPE_CHECKING:
    from distil.train.run import TrainJob


@dataclass(frozen=True)
class TrainResult:
    """What came of a training."""

    name: str
    """The student."""
    model: Path
    """Its Hugging Face folder."""
    steps: int
    """Optimizer steps."""
    examples: int
    """Training examples."""
    seconds: float
    """From the first check to the saved model."""
    loss: float | None
    """The last logged training loss a token."""
    validation_loss: float | None
    """The last validation loss a token."""
    facts: dict[str, Any] = field(default_factory=dict, repr=False)
    """All that the manifest's notes hold."""

    def rows(self) -> list[tuple[str, str]]:
        """For a table."""
        numbers = [("training loss", self.loss), ("validation loss", self.validation_loss)]
        return [
            ("student", self.name),
            ("model", str(self.model)),
            ("examples", f"{self.examples:,}"),
            ("steps", f"{self.steps:,}"),
            ("seconds", f"{self.seconds:,.1f}"),
            *((label, f"{value:.4f}") for label, value in numbers if value is not None),
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
) -> TrainResult:
    """Trains one student and writes its manifest. An interrupted or killed training with the same settings and data goes on.

    Raises UserError before the first step for anything that is wrong with settings, data, models, caches or servers;
    Interrupted after Ctrl-C; WorkFailed when the loss stops being a number or memory runs out.
    """
    if not name or "/" in name or name.startswith("."):
        raise UserError(f"A student can't be called {name!r}: the name becomes a folder. Use letters, digits, - and _.")
    from distil.train.run import TrainJob, train_student

    job = TrainJob(project.root, name, section, student, teacher, max_steps)
    with stage_run(project, "train", section.model_dump(mode="json"), name) as stage:
        _note_inputs(stage, job)
        if section.processes > 1:
            from distil.train.launch import torchrun

            facts = torchrun(job)
        else:
            facts = train_student(job)
        _note_outputs(stage, job, facts)
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


def adopt(job: TrainJob, facts: dict[str, Any]) -> None:
    """Writes the manifest of a training that a cluster's own launcher has run through worker.py."""
    project = Project(job.root)
    with stage_run(project, "train", job.section.model_dump(mode="json"), job.name) as stage:
        _note_inputs(stage, job)
        _note_outputs(stage, job, facts)


def _note_inputs(stage: StageRun, job: TrainJob) -> None:
    project = stage.project
    stage.reads(project.split("train"))
    if project.split("validation").exists():
        stage.reads(project.split("validation"))
    if job.section.method == "on_policy" and job.section.rollout_unanswered:
        stage.reads(project.prompts)
    cached = job.section.method != "sft" and job.section.signal == "cached"
    if cached and (project.signals / "manifest.json").exists():
        stage.reads(project.signals / "manifest.json")


def _note_outputs(stage: StageRun, job: TrainJob, facts: dict[str, Any]) -> None:
    stage.seeds["train"] = job.section.seed
    stage.notes.update(facts)
    notes = TrainNotes(
        student=job.student.model_dump(mode="json"),
        teacher=job.teacher.model if job.teacher is not None else None,
        partial=job.max_steps is not None,
    )
    stage.notes.update(notes.model_dump())
    stage.wrote(stage.project.model(job.name))
    for extra in (stage.project.metrics(job.name), stage.project.adapter(job.name)):
        if extra.exists():
            stage.wrote(extra)
