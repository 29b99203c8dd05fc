"""A project with curated examples, a tiny student and a tiny teacher, made once; tests copy what they change."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from distil.calls.config import TeacherConfig
from distil.models.config import StudentConfig
from distil.runs.artifacts import Project
from tests.tiny import save_tiny, write_tiny_splits


@dataclass(frozen=True)
class Bench:
    """Where a training happens."""

    project: Project
    student: StudentConfig
    teacher: TeacherConfig


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from distil.models.load import quiet

    quiet()
    folder = tmp_path_factory.mktemp("models")
    save_tiny(folder / "student")
    save_tiny(folder / "teacher", seed=1, hidden=48)
    return folder


@pytest.fixture
def bench(tiny_models: Path, tmp_path: Path) -> Bench:
    project = Project(tmp_path / "project")
    write_tiny_splits(project)
    return Bench(
        project,
        StudentConfig(model=str(tiny_models / "student")),
        TeacherConfig(model=f"local/{tiny_models / 'teacher'}"),
    )


@pytest.fixture
def own_student(tiny_models: Path, tmp_path: Path) -> Path:
    """A copy of the student's folder that a test may spoil."""
    return Path(shutil.copytree(tiny_models / "student", tmp_path / "student"))
