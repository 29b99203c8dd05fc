"""`TrainJob`: one training as a value, and as the JSON file that worker processes read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distil.calls.config import TeacherConfig
from distil.ids import content_id
from distil.models.config import StudentConfig
from distil.runs.artifacts import Project
from distil.train.config import TrainConfig

if TYPE_CHECKING:
    from distil.train.examples import Tokenized

LAUNCHED = "DISTIL_LAUNCHED"
"""Environment variable that launch.py, which waits for the result, sets for its workers: the file whose appearance requests
them to save and end."""


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

    def fingerprint(self, train: Iterable[Tokenized]) -> str:
        """Hash of everything that a checkpoint depends on. Only checkpoints with the same hash are resumed."""
        settings = self.section.model_dump(
            mode="json", exclude={"log_steps", "checkpoint_minutes", "checkpoint_steps", "report_to"}
        )
        data = [[e.id, e.input_ids, e.prompt_length] for e in train]
        teacher = self.teacher.model if self.teacher else None
        return content_id("job", [settings, self.student.model_dump(mode="json"), teacher, self.max_steps, data])

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
