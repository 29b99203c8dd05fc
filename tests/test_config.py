"""distil.yaml: the written file can be read back, and errors name the key and the fix."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from distil.config import Config, load_config, parse_config
from distil.config_file import write_config
from distil.errors import UserError
from distil.runs.artifacts import Project

MINIMAL = {"prompts": {"path": "p.jsonl"}, "teachers": [{"model": "openai/gpt-5-mini"}]}


def project_with(folder: Path, text: str) -> Project:
    (folder / "distil.yaml").write_text(text, encoding="utf-8")
    return Project(folder)


def test_the_written_config_round_trips_and_comments_every_key(tmp_path: Path) -> None:
    config = parse_config({**MINIMAL, "task": "my: task #1", "cost": {"student_host": {"usd_per_hour": 0.5}}}, "test")
    text = write_config(config)
    assert load_config(project_with(tmp_path, text)) == config
    lines = text.splitlines()
    for above, line in itertools.pairwise(lines):
        if line.startswith("  ") and ": " in line and not line.strip().startswith("#"):
            assert "# " in line or above.strip().startswith("#"), f"no comment: {line}"


def test_every_key_of_every_section_has_a_docstring() -> None:
    def check(model: type[BaseModel]) -> None:
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name} has no docstring"
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                check(field.annotation)

    check(Config)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prompts: {path: p}\nteachers: [{model: a}]\ntrian: {epochs: 2}\n", "Did you mean 'train'?"),
        (
            "prompts: {path: p}\nteachers: [{model: a}]\ntrain: {epoch: 2}\n",
            "unknown key 'epoch' in section 'train'. Did you mean 'epochs'?",
        ),
        ("prompts: {path: p}\nteachers: [{model: a, smapling: {}}]\n", "Did you mean 'sampling'?"),
        ("prompts: {path: p}\nteachers: [{model: a}]\ntrain: {epochs: many}\n", "train.epochs"),
        (
            "prompts: {path: p}\nteachers: [{model: a}]\ntrain: {learning_rate: Auto}\n",
            "train.learning_rate: input should be 'auto' (found 'Auto')",
        ),
        ("prompts: p.jsonl\nteachers: [{model: a}]\n", "prompts: found 'p.jsonl', expected a section with keys: path"),
        ("prompts: {path: p}\n", "'teachers' is missing"),
        ("prompts: {path: p\n", "line 2"),
        ("- a\n- b\n", "expected sections"),
    ],
)
def test_an_invalid_config_names_the_key_and_the_fix(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        load_config(project_with(tmp_path, text))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_without_a_config_names_distil_init(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="distil init"):
        load_config(Project(tmp_path))


def test_set_overrides_values_lists_and_keys_below_null(tmp_path: Path) -> None:
    project = project_with(tmp_path, yaml.safe_dump(MINIMAL))
    changed = load_config(
        project,
        [
            "train.epochs=5",
            "teachers.0.model=local/x",
            "cost.student_host.usd_per_hour=0.6",
            "collect.budget_usd=null",
            "task=a=b",
        ],
    )
    assert changed.train.epochs == 5
    assert changed.teachers[0].model == "local/x"
    assert changed.cost.student_host is not None and changed.cost.student_host.usd_per_hour == 0.6
    assert changed.collect.budget_usd is None
    assert changed.task == "a=b"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epochs", "KEY=VALUE"),
        ("teachers.7.model=x", "position from 0 to 0"),
        ("task.a=1", "no keys below"),
        ("train.x=1", "unknown key 'x'"),
    ],
)
def test_an_invalid_set_names_what_was_expected(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_config(project_with(tmp_path, yaml.safe_dump({**MINIMAL, "task": "t"})), [override])


def test_an_unknown_key_from_set_is_reported_with_its_option(tmp_path: Path) -> None:
    (tmp_path / "distil.yaml").write_text("prompts: {path: p.jsonl}\nteachers: [{model: bundled/teacher}]\n")
    with pytest.raises(UserError, match=r"distil\.yaml with --set train\.learningrate: unknown key 'learningrate'"):
        load_config(Project(tmp_path), ["train.learningrate=1"])


def test_off_on_yes_and_no_are_the_words_that_were_typed(tmp_path: Path) -> None:
    """YAML 1.1 reads them as truth values, and `serve.fallback=off`, which messages advise, was refused."""
    (tmp_path / "distil.yaml").write_text(
        "task: no\nprompts: {path: p.jsonl}\nteachers: [{model: bundled/teacher}]\nserve: {fallback: off}\ntrain: {packing: no}\n"
    )
    config = load_config(Project(tmp_path))
    assert (config.task, config.serve.fallback, config.train.packing) == ("no", "off", False)
    again = load_config(Project(tmp_path), ["serve.fallback=off", "train.packing=yes", "train.fsdp=true"])
    assert (again.serve.fallback, again.train.packing, again.train.fsdp) == ("off", True, True)
    (tmp_path / "distil.yaml").write_text(write_config(config))
    assert load_config(Project(tmp_path)) == config
