"""Which student is meant where none is named: by what the manifests say, not by the times of files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from distil.cli.main import cli
from distil.cli.options import Context
from distil.cli.students import pick_evaluable, pick_student
from distil.config import load_config
from distil.errors import UserError
from distil.records import Manifest
from distil.runs.artifacts import Project
from distil.runs.jsonl import write_json
from distil.stage_states import current_student, steps


@pytest.fixture
def project(tmp_path: Path) -> Project:
    config = {
        "task": "t",
        "prompts": {"path": "p.jsonl"},
        "teachers": [{"model": "recorded/a.jsonl"}],
        "student": {"model": "bundled/student"},
    }
    (tmp_path / "distil.yaml").write_text(yaml.safe_dump(config))
    return Project(tmp_path)


def train(project: Project, name: str, minute: int, method: str = "sft", target: str = "teacher") -> None:
    at = f"2026-11-29T10:{minute:02}:00+00:00"
    settings = {"method": method, "target": target}
    manifest = Manifest(
        tool_version="0", stage="train", name=name, config=settings, inputs={}, outputs={}, started=at, finished=at
    )
    write_json(project.stage("train", name) / "manifest.json", manifest.model_dump(mode="json"))


def test_a_copied_project_means_the_same_student(project: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    for minute, name in enumerate(["b", "c", "a"]):
        train(project, name, minute)
    for second, name in enumerate(["a", "c", "b"]):  # files written in another order, as a copy may do
        os.utime(project.stage("train", name) / "manifest.json", (second, second))
    assert project.students() == ["b", "c", "a"]
    copy = tmp_path_factory.mktemp("copy")
    shutil.copytree(project.root, copy, dirs_exist_ok=True, copy_function=shutil.copyfile)
    assert pick_student(Context([copy], [], False), None) == "a"


def test_status_run_and_all_others_mean_one_student(project: Project) -> None:
    config = load_config(project)
    assert current_student(project, config) == "sft"  # the one that `distil run` would train
    train(project, "small", 1)
    train(project, "wide", 2, method="logits")
    assert current_student(project, config) == "small"
    assert {s.name for s in steps(project, config) if s.name} == {"small"}
    context = Context([project.root], [], False)
    assert pick_student(context, None) == pick_evaluable(context, None) == "small"
    wide = load_config(project, ["train.method=on_policy"])
    assert current_student(project, wide) == "on_policy"
    assert pick_student(Context([project.root], ["train.method=on_policy"], False), None) == "wide"


def test_the_bill_of_an_unknown_student_is_refused(project: Project) -> None:
    train(project, "small", 1)
    result = CliRunner().invoke(cli, ["cost", "smal", "--project", str(project.root)])
    assert isinstance(result.exception, UserError) and "'smal'" in str(result.exception)
    assert "small" in str(result.exception) and not project.cost.exists()


def test_a_baseline_is_meant_only_where_its_target_is(project: Project) -> None:
    """`distil train --as baseline --set train.target=reference`: no later command may train it on the teacher's answers."""
    config = load_config(project)
    train(project, "baseline", 1, target="reference")
    assert current_student(project, config) == "sft"
    assert {step.name for step in steps(project, config)} == {None, "sft"}
    train(project, "small", 2)
    train(project, "baseline", 3, target="reference")
    assert current_student(project, config) == "small"
    assert pick_student(Context([project.root], [], False), None) == "small"
    same = config.model_copy(update={"train": config.train.model_copy(update={"target": "reference"})})
    assert current_student(project, same) == "baseline"
