"""Settings are written into distil.yaml: exactly what --set would give, and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from distil.cli.main import cli
from distil.config import load_config, override_config, parse_config, read_data
from distil.config_file import edit_config, flat_settings, write_config
from distil.errors import UserError
from distil.runs.artifacts import Project

LEAST = {"prompts": {"path": "prompts.jsonl"}, "teachers": [{"model": "openai/gpt-5-mini"}]}
BY_HAND = """\
# my own notes
prompts: {path: 'fälle.jsonl'}   # keep
teachers:
  - model: openai/gpt-5-mini
    sampling:
      temperature: 0.7   # warm
    # about the price
    price: {input: 0.25, output: 2.0}

train:
  method: sft
  # the last comment of train
cost:
  student_host:
evaluate:
  metrics:
    - exact_match
    - rouge_l   # slow
student: {model: bundled/student}
"""
CHANGES = [
    "train.epochs=7",
    "train.method=logits",
    "train.learning_rate=1e-5",
    "train.learning_rate=0.00001",
    "teachers.0.sampling.temperature=0.0",
    "teachers.0.sampling.max_tokens=900",
    "teachers.0.price.input=0.5",
    "cost.student_host.usd_per_hour=0.6",
    "cost.student_host={input: 0.1, output: 0.2}",
    "evaluate.metrics=[exact_match, accuracy]",
    "evaluate.metrics.1=accuracy",
    "serve.fallback=off",
    "student.model=Qwen/Qwen3-0.6B",
    "student.chat_template='{{ a: b }} # no'",
    "task=two words: and a colon",
    "prompts.path=null.jsonl",
    "collect.budget_usd=20",
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("text", [BY_HAND, write_config(parse_config(LEAST, "t"))], ids=["by_hand", "of_init"])
def test_a_written_setting_is_what_set_gives(text: str, change: str) -> None:
    data = read_data(text, "t")
    try:
        wanted = override_config(data, "t", [change])
    except UserError as error:
        with pytest.raises(UserError) as refused:
            edit_config(text, [change], "t")
        assert str(refused.value) == str(error)
        return
    edit = edit_config(text, [change], "t")
    assert override_config(read_data(edit.after, "t"), "t", []) == wanted
    removed = [line[1:] for line in edit.lines if line.startswith("-")]
    assert len(removed) <= (3 if change.startswith("evaluate.metrics=") else 1)
    kept = [line for line in text.splitlines() if line not in removed]
    assert [line for line in edit.after.splitlines() if line in kept] == kept  # comments and order stay


def test_several_settings_are_written_one_after_another() -> None:
    edit = edit_config(BY_HAND, CHANGES[:6] + CHANGES[7:8], "t")
    config = override_config(read_data(edit.after, "t"), "t", [])
    assert (config.train.epochs, config.train.method, config.train.learning_rate) == (7, "logits", 1e-5)
    assert (
        config.teachers[0].sampling.max_tokens == 900 and "# warm" in edit.after and "# the last comment" in edit.after
    )


def test_a_layout_that_can_not_be_edited_is_said() -> None:
    shared = "prompts: {path: p.jsonl}\nteachers: [{model: openai/gpt-5-mini}]\ncollect: &cap {budget_usd: 5}\ncurate: *cap\n"
    with pytest.raises(UserError, match=r"curate\.budget_usd=9 can't be written into the file as it is laid out"):
        edit_config(shared, ["curate.budget_usd=9"], "t")


def test_set_writes_and_shows_and_a_typo_changes_nothing(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.config.write_text(BY_HAND, encoding="utf-8")
    where = ["--project", str(tmp_path)]
    done = CliRunner().invoke(cli, ["config", "set", "train.epochs=7", "cost.student_host.usd_per_hour=0.6", *where])
    assert done.exit_code == 0 and "+  epochs: 7" in done.output and "usd_per_hour" in done.output
    assert load_config(project).train.epochs == 7
    before = project.config.read_bytes()
    for typo in ("train.epoch=8", "train.epochs=many", "train.epochs", "teachers.4.model=x"):
        refused = CliRunner().invoke(cli, ["config", "set", "train.batch_size=4", typo, *where])
        assert isinstance(refused.exception, UserError), typo
        assert project.config.read_bytes() == before
    again = CliRunner().invoke(cli, ["config", "set", "train.epochs=7", *where])
    assert "says so already" in again.output


def test_show_lists_what_is_set_and_what_is_default(tmp_path: Path) -> None:
    (tmp_path / "distil.yaml").write_text(BY_HAND, encoding="utf-8")
    where = ["--project", str(tmp_path)]
    shown = CliRunner().invoke(cli, ["config", "show", "train", "--changed", *where])
    assert shown.exit_code == 0 and "train.method" not in shown.output  # sft is the default
    every = flat_settings(load_config(Project(tmp_path)))
    assert every["teachers.0.sampling.temperature"] == 0.7 and every["train.method"] == "sft"
    refused = CliRunner().invoke(cli, ["config", "show", "trian", *where])
    assert isinstance(refused.exception, UserError) and "train" in str(refused.exception)
