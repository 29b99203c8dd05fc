"""One finished project for all tests of the doctor, and a copy of it for each test that plants something."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from distil.runs.artifacts import Project
from tests.doctor.planted import finished


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Not to be changed."""
    return finished(tmp_path_factory.mktemp("doctor") / "base")


@pytest.fixture
def copy(base: Project, tmp_path: Path) -> Project:
    """To be changed."""
    shutil.copytree(base.root, tmp_path / "copy")
    return Project(tmp_path / "copy")
