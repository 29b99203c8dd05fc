"""`TrainJob`: one training as a value, and as the JSON file that worker processes read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distil.calls.config import TeacherConfig
from distil.ids import content_id
from distil.models.config import StudentConfig
from distil.runs.artifacts import Project
from distil.train.config import BY_TEXT, TrainConfig

if TYPE_CHECKING:
    from distil.train.examples import Tokenized

LAUNCHED = "DISTIL_LAUNCHED"
"""Environment variable that launch.py, which waits for the result, sets for its workers: the file whose appearance requests
them to save and end."""
SAME_RESULT = {
    "log_steps", "checkpoint_minutes", "checkpoint_steps", "report_to", "micro_batch_tokens", "gradient_checkpointing",
    "packing", "processes", "fsdp", "teacher_memory",
}  # fmt: skip
"""Settings of the train section that change how a step is computed or reported, not what is learned: they may change when a
training is resumed, as after running out of memory. (validation_examples too, where nothing depends on the validation.)"""

LATER = {
    "divergence_on_policy", "forward_kl_above", "teacher_top_k", "mask_special_tokens", "rollout_top_p", "sft_epochs",
    "dpo_beta", "rollout_teacher_top_k",
}  # fmt: skip
"""Settings that came later. At their defaults they are left out, so that a training which was interrupted before goes on."""


def process_rank() -> int:
    """This process's number among those that torchrun started, 0 where it did not: the first one says and writes things."""
    return int(os.environ.get("RANK", "0"))


@dataclass(frozen=True)
class TrainJob:
    """What one training needs to know."""

    root: Path
    name: str
    section: TrainConfig
    student: StudentConfig
    teacher: TeacherConfig | None = None
    max_steps: int | None = None

    @property
    def folder(self) -> Path:
        return Project(self.root).stage("train", self.name)

    def placed(self) -> TrainJob:
        """The job with project-relative model folders as absolute paths; other folders and hub ids stay."""
        section, student, teacher, placed = self.section, self.student, self.teacher, Project(self.root).placed
        shares = [share.model_copy(update={"model": placed(share.model)}) for share in section.teachers]
        return replace(
            self,
            section=section.model_copy(update={"teachers": shares}),
            student=student.model_copy(update={"model": placed(student.model)}),
            teacher=teacher and teacher.model_copy(update={"model": placed(teacher.model)}),
        )

    def identity(self, train: Iterable[Tokenized], frozen: str | None = None) -> dict[str, object]:
        """Everything that a checkpoint depends on, by the name a person knows it by. Only checkpoints of the same are resumed.

        `self` is the job as the config names it (not `placed`), so that a project may be moved. frozen: a hash of the student's
        weights that are not trained. What changes only the course of a step (SAME_RESULT) is left out.
        """
        excluded = {*SAME_RESULT, *(LATER - self.section.model_dump(exclude_defaults=True).keys())}
        if self.section.early_stopping is None:
            excluded.add("validation_examples")
        settings = {"train": self.section, "student": self.student}
        named = {
            f"{name}.{key}": value
            for name, section in settings.items()
            for key, value in section.model_dump(mode="json", exclude=excluded if name == "train" else None).items()
        }
        examples = list(train)
        texts = [[e.id, [m.model_dump(mode="json") for m in e.messages], e.tools] for e in examples]
        tokens = [
            [
                e.input_ids,
                e.labels,
                e.prompt_length,
                *([list(e.teacher_prompt)] if e.teacher_prompt is not None else []),
            ]
            for e in examples
        ]
        teacher = self.teacher.model if self.teacher is not None and self.section.method not in BY_TEXT else None
        own = [e.rejected.input_ids for e in examples if e.rejected is not None]
        return {
            **named,
            "the teacher": teacher,
            "--max-steps": self.max_steps,
            "sharding (train.fsdp)": self.section.fsdp and self.section.processes > 1,
            "the student's frozen weights": frozen,
            "the training examples": f"{len(examples)} ({content_id('texts', texts)})",
            "their tokens (chat template, its settings, its date)": content_id("tokens", tokens),
            **({"the answers of the student that it starts from": content_id("tokens", own)} if own else {}),
        }

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads."""
        return {
            "root": str(self.root),
            "name": self.name,
            "section": self.section.model_dump(mode="json"),
            "student": self.student.model_dump(mode="json"),
            "teacher": self.teacher.model_dump(mode="json") if self.teacher else None,
            "max_steps": self.max_steps,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> TrainJob:
        """The inverse of `to_json`."""
        return cls(
            Path(value["root"]),
            value["name"],
            TrainConfig.model_validate(value["section"]),
            StudentConfig.model_validate(value["student"]),
            TeacherConfig.model_validate(value["teacher"]) if value["teacher"] else None,
            value["max_steps"],
        )


def error_file(job_file: Path, rank: int) -> Path:
    """Where process `rank` writes why it ended."""
    return job_file.with_suffix(f".error.{rank}.json")
