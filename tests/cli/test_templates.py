"""Each template as it is used: a project that plans, and that collects from a server which is asked as the template says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import distil
from distil.bundled.triage import prompt_rows
from distil.cli.main import cli
from distil.config import load_config
from distil.evaluate.metrics.table import BUILT_IN
from distil.new_project import new_project
from distil.records import Answer
from distil.runs.jsonl import read_records
from distil.templates import TEMPLATES, template_named
from tests.wire.openai import OpenAIServer

OPEN = [name for name, template in TEMPLATES.items() if template.teacher is None]


@pytest.mark.parametrize("name", OPEN)
def test_a_template_plans_and_collects(name: str, tmp_path: Path) -> None:
    with OpenAIServer(key=None, models=("m",)) as server:
        project = new_project(
            tmp_path / name, template=name, teacher=f"{server.url}#m", student="bundled/student",
            overrides=["teachers.0.price={input: 1, output: 2}"],
        )  # fmt: skip
        config, template = load_config(project), TEMPLATES[name]
        planned = CliRunner().invoke(cli, ["plan", "--project", str(project.root), "--json"])
        assert planned.exit_code == 0, planned.output
        collected = distil.collect(project)
        assert collected.answers == len(template.prompts) and not collected.failed
        bodies = [post.body for post in server.posts()]
    assert len(list(read_records(project.answers, Answer))) == len(template.prompts)
    for body in bodies:
        assert body["messages"][0] == {"role": "system", "content": config.prompts.system}
        assert body["max_tokens"] == template.sampling["max_tokens"]
        assert body["temperature"] == template.sampling["temperature"]
        assert body.get("response_format") == config.prompts.response_format
    assert set(config.evaluate.metrics) - {"default"} <= set(BUILT_IN)


def test_triage_needs_nothing_from_outside(tmp_path: Path) -> None:
    rows = "".join(json.dumps(row) + "\n" for row in prompt_rows(train=6, test=0))
    (tmp_path / "few.jsonl").write_text(rows)
    project = new_project(tmp_path / "t", template="triage", prompts=tmp_path / "few.jsonl")
    planned = CliRunner().invoke(cli, ["plan", "--project", str(project.root)])
    assert planned.exit_code == 0, planned.output
    assert distil.collect(project, limit=1).answers == 1


def test_a_teacher_that_thinks_has_room_for_it(tmp_path: Path) -> None:
    for model, temperature in (("openai/gpt-5-mini", 1.0), ("openai/gpt-4.1-mini", 0.0)):
        project = new_project(tmp_path / model.replace("/", "-"), template="classification", teacher=model)
        sampling = load_config(project).teachers[0].sampling
        assert sampling.temperature == temperature
        assert (sampling.max_tokens > 1000) == (model == "openai/gpt-5-mini")


def test_prompts_of_your_own_take_the_place_of_the_template_s(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text(json.dumps({"prompt": "Invoice 7, 9 May 2026, EUR 5"}) + "\n")
    project = new_project(tmp_path / "p", template="extraction", prompts=tmp_path / "q.jsonl", teacher="openai/gpt-4.1")
    config = load_config(project)
    assert config.prompts.path == "../q.jsonl" and config.prompts.response_format is not None
    assert not (project.root / "prompts.jsonl").exists()


def test_both_spellings_are_understood() -> None:
    american, british = template_named("summarizing"), template_named("summari" + "sing")
    assert american is british
