"""`distil init --teacher recorded/FILE`: the file comes along, so that the project works from any folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from distil.cli.init import command
from distil.collect import stage as collect
from distil.config import load_config
from distil.errors import UserError
from distil.pipeline import run_stage
from distil.records import Answer
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "gpt4.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"Question {i}?", "output": f"yes {i}"}) + "\n" for i in range(3)))
    return path


def init(*arguments: str) -> Result:
    return CliRunner().invoke(command, ["task", *arguments])


@pytest.mark.parametrize("name", ["recorded/gpt4.jsonl", "recorded/{}/gpt4.jsonl"])
def test_the_recorded_file_comes_along(name: str, answers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = init("--teacher", name.format(answers.parent), "--prompts", "gpt4.jsonl")
    assert result.exit_code == 0, result.output
    (answers.parent / "elsewhere").mkdir()
    monkeypatch.chdir(answers.parent / "elsewhere")
    project = Project(answers.parent / "task")
    config = load_config(project)
    assert config.teachers[0].model == "recorded/gpt4.jsonl"
    run_stage(project, config, "prompts", None)
    collect.run(project, config.collect, config.teachers)
    assert [answer.text for answer in read_records(project.answers, Answer)] == ["yes 0", "yes 1", "yes 2"]


def test_a_folder_called_recorded_is_found_as_well(answers: Path) -> None:
    (answers.parent / "recorded").mkdir()
    answers.rename(answers.parent / "recorded" / "gpt4.jsonl")
    assert init("--teacher", "recorded/gpt4.jsonl").exit_code == 0
    assert (answers.parent / "task" / "gpt4.jsonl").is_file()


def test_a_recorded_file_that_is_missing_is_said(answers: Path) -> None:
    result = init("--teacher", "recorded/gpt5.jsonl")
    assert isinstance(result.exception, UserError)
    assert "gpt5.jsonl is not there" in str(result.exception)
    assert not (answers.parent / "task").exists()


def test_another_file_of_that_name_is_not_overwritten(answers: Path) -> None:
    (answers.parent / "task").mkdir()
    (answers.parent / "task" / "gpt4.jsonl").write_text("mine")
    result = init("--teacher", "recorded/gpt4.jsonl")
    assert isinstance(result.exception, UserError)
    assert (answers.parent / "task" / "gpt4.jsonl").read_text() == "mine"


def test_init_keeps_the_settings_that_it_was_given(answers: Path) -> None:
    wanted = ["--set", "prompts.system=Answer briefly.", "--set", "serve.fallback=off"]
    result = init("--teacher", "recorded/gpt4.jsonl", "--prompts", "gpt4.jsonl", *wanted)
    assert result.exit_code == 0, result.output
    config = load_config(Project(Path("task")))
    assert (config.prompts.system, config.serve.fallback) == ("Answer briefly.", "off")
