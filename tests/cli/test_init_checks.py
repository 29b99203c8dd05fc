"""`distil init` checks what it is told: names of models, files, the folder. Nothing is made where something is wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from distil.cli.init import command
from distil.config import load_config
from distil.config_file import flat_settings
from distil.errors import UserError
from distil.models.hub import cached
from distil.new_project import new_project, remarks
from distil.pipeline import ensure
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_json
from distil.stage_states import step_state


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "q.csv").write_text("prompt\nhello\nbye\n")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--teacher", "gpt-4o"], "Did you mean openai/gpt-4o"),
        (["--teacher", "opnai/gpt-4o"], "Did you mean openai/gpt-4o"),
        (["--teacher", "Qwen/Qwen3-8B"], "local/Qwen/Qwen3-8B"),
        (["--teacher", "bundled/teachr"], "Did you mean 'teacher'"),
        (["--teacher", "local/./none"], "no folder"),
        (["--teacher", "recorded/none.jsonl"], "is not there"),
        (["--teacher", "recorded/q.csv"], "answer"),
        (["--student", "bundled/studnt"], "Did you mean 'student'"),
        (["--student", "./none"], "no folder"),
        (["--student", "local/Qwen/Qwen3-0.6B"], "without local/"),
        (["--student", "http://host:8000/v1#x"], "trained here"),
        (["--student", "Qwen3 0.6B"], "letters, digits"),
        (["--template", "extracton"], "Did you mean 'extraction'"),
        (["--prompts", "q.cvs"], "does not exist"),
        (["--set", "train.epoch=2"], "Did you mean 'epochs'"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_made(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(command, ["task", *arguments])
    assert isinstance(result.exception, UserError), result.output
    assert said in str(result.exception)
    assert not Path("task").exists()


def test_a_file_or_a_project_in_its_place_is_refused(here: Path) -> None:
    for folder, said in (("q.csv", "is a file"), ("done", "already exists")):
        if folder == "done":
            new_project(here / folder)
        result = CliRunner().invoke(command, [folder])
        assert isinstance(result.exception, UserError) and said in str(result.exception)


def test_a_folder_with_other_files_is_joined_and_named(here: Path) -> None:
    (here / "mine").mkdir()
    (here / "mine" / "notes.txt").write_text("x")
    result = CliRunner().invoke(command, ["mine", "--student", "bundled/student"])
    assert result.exit_code == 0 and "with notes.txt" in result.stderr


def test_the_next_command_works_as_it_is_printed(here: Path) -> None:
    result = CliRunner().invoke(command, ["mein projekt", "--json"])
    assert json.loads(result.stdout)["next"] == "distil plan --project 'mein projekt'"
    (here / "sub").mkdir()
    result = CliRunner().invoke(command, [".", "--student", "bundled/student"])
    assert result.stdout.endswith("run: distil plan\n")


def test_keys_and_students_that_are_missing_are_remarked(here: Path) -> None:
    project = new_project(here / "p", teacher="openai/gpt-4.1-mini", student="Qwen/Qwen3-0.6b")
    key, student = remarks(project, load_config(project), {})
    assert "export OPENAI_API_KEY" in key
    assert "not on this machine" in student and "Did you mean 'Qwen/Qwen3-0.6B'" in student
    assert len(remarks(project, load_config(project), {"OPENAI_API_KEY": "k"})) == 1


def test_the_short_config_and_the_whole_one_say_the_same(here: Path) -> None:
    settings = ["train.epochs=5", "collect.hedge=4"]
    short = new_project(here / "a", overrides=[*settings, "task=t"])
    whole = new_project(here / "b", overrides=[*settings, "task=t"], whole=True)
    assert load_config(short) == load_config(whole)
    text = short.config.read_text()
    assert len(text.splitlines()) < 60 < 200 < len(whole.config.read_text().splitlines())
    assert "hedge: 4.0" in text and "epochs: 5.0" in text and "shuffle" not in text
    assert all(line.startswith("#") or len(line) < 140 for line in text.splitlines())
    changed = set(flat_settings(load_config(short), changed=True))
    written = yaml.safe_load(text)
    assert {key.partition(".")[0] for key in changed} <= set(written)


def test_project_and_prompts_move_together_or_apart(here: Path) -> None:
    project = new_project(here / "p", prompts=here / "q.csv", student="bundled/student")
    config = load_config(project)
    assert config.prompts.path == "../q.csv"
    ensure(project, config, "prompts", before="plan")
    moved = here / "moved"
    moved.mkdir()
    (here / "p").rename(moved / "p")
    (here / "q.csv").rename(moved / "q.csv")
    project = Project(moved / "p")
    assert step_state(project, load_config(project), "prompts").state == "done"
    (moved / "q.csv").unlink()
    step = step_state(project, load_config(project), "prompts")
    assert step.state == "done" and "../q.csv is gone" in step.why
    ensure(project, load_config(project), "prompts", before="plan")
    project.prompts.unlink()
    assert step_state(project, load_config(project), "prompts").state == "stale"


def test_a_new_key_at_its_default_makes_nothing_stale(here: Path) -> None:
    project = new_project(here / "p", prompts=here / "q.csv", student="bundled/student")
    config = load_config(project)
    ensure(project, config, "prompts", before="plan")
    path = project.stage("prompts") / "manifest.json"
    manifest = read_json(path)
    assert isinstance(manifest, dict)
    del manifest["config"]["response_format"], manifest["config"]["attachments"]  # as an older version wrote it
    path.write_text(json.dumps(manifest))
    assert step_state(project, config, "prompts").state == "done"
    changed = load_config(project, ["prompts.attachments=keep"])
    assert step_state(project, changed, "prompts").why == "settings have changed: attachments"


@pytest.mark.parametrize("name", ["a--b", "Qwen/Qwen3-0.6B."])
def test_a_name_that_the_hub_can_not_have_ends_well(name: str) -> None:
    assert cached(name, "config.json") is None


def test_a_bare_install_has_no_cache_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert cached("Qwen/Qwen3-0.6B", "config.json") is None
