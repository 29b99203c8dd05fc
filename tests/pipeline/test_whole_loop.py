"""The whole loop on a tiny model and a recorded teacher: each stage runs once, and a change makes later stages stale."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from distil.active import run as active
from distil.cli.main import cli
from distil.cli.train import command
from distil.config import Config, load_config
from distil.errors import UserError
from distil.pipeline import ensure, run_missing, run_stage
from distil.records import Manifest
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_json
from distil.runs.manifest import read_manifest
from distil.stage_states import step_state, steps
from distil.train.config import TrainConfig
from distil.until.run import Until, Wish
from tests.tiny import save_tiny


def make_project(folder: Path, rows: int = 48) -> Project:
    """Prompts, recorded answers as JSON objects, a tiny student, and a quick config."""
    tiny = save_tiny(folder / "tiny")
    prompts, answers = [], []
    for number in range(rows):
        text = f"message {number}: my parcel {number * 7919 % 9973} is {'late' if number % 3 else 'lost'}"
        answer = json.dumps({"state": "late" if number % 3 else "lost", "urgent": number % 2 == 0})
        prompts.append(json.dumps({"prompt": text, "reference": answer, "group": f"g{number // 2}"}))
        answers.append(json.dumps({"prompt": text, "output": answer}))
    (folder / "prompts.jsonl").write_text("\n".join(prompts) + "\n")
    (folder / "answers.jsonl").write_text("\n".join(answers) + "\n")
    config = {
        "task": "whole-loop",
        "prompts": {"path": "prompts.jsonl"},
        "teachers": [
            {"model": "recorded/answers.jsonl", "sampling": {"max_tokens": 12}, "price": {"input": 1.0, "output": 2.0}}
        ],
        "curate": {"test": 8, "near_duplicates": None},
        "student": {"model": str(tiny)},
        "train": {"epochs": 1, "learning_rate": 1e-3},
        "evaluate": {"metrics": ["exact_match", "field_accuracy"], "ceiling": False, "latency_prompts": 1},
        "cost": {"student_host": {"usd_per_hour": 0.1}},
    }
    (folder / "distil.yaml").write_text(yaml.safe_dump(config))
    return Project(folder)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Config]:
    """A project in which every stage has run once."""
    project = make_project(tmp_path_factory.mktemp("loop"))
    config = load_config(project)
    ran = run_missing(project, config)
    assert [s.stage for s in ran] == ["prompts", "collect", "curate", "train", "evaluate", "cost", "report"]
    return project, config


def test_every_stage_is_done_and_records_its_inputs_and_outputs(done: tuple[Project, Config]) -> None:
    project, config = done
    for step in steps(project, config):
        assert step.state == "done", (step, step.why)
        manifest = read_manifest(project, step.stage, step.name)
        assert isinstance(manifest, Manifest) and manifest.inputs and manifest.outputs, step.stage


def test_nothing_runs_twice(done: tuple[Project, Config]) -> None:
    project, config = done
    assert run_missing(project, config) == []


def test_a_finished_student_is_not_trained_again_unasked(done: tuple[Project, Config]) -> None:
    project, _ = done
    files = {path: path.stat().st_mtime_ns for path in project.stage("train", "sft").rglob("*")}
    ran = CliRunner().invoke(command, ["--project", str(project.root), "--json"])
    assert ran.exit_code == 0, ran.output
    assert "sft is trained already" in ran.stderr and "--force" in ran.stderr and '"name": "sft"' in ran.stdout
    changed = ["--project", str(project.root), "--set", "train.epochs=2", "--max-steps", "1"]
    ran = CliRunner().invoke(command, changed)
    assert ran.exit_code != 0 and "a trial with --max-steps would replace its model" in str(ran.exception)
    assert files == {path: path.stat().st_mtime_ns for path in project.stage("train", "sft").rglob("*")}


def test_the_split_is_clean_and_the_answers_are_the_teachers(done: tuple[Project, Config]) -> None:
    project, _ = done
    groups = {name: {e.group for e in read_examples(project.split(name))} for name in ("train", "validation", "test")}
    assert not groups["train"] & groups["test"] and not groups["train"] & groups["validation"]
    assert all(e.answer == e.reference for e in read_examples(project.split("test")))


def test_the_verdict_and_the_report_exist(done: tuple[Project, Config]) -> None:
    project, _ = done
    summary = read_json(project.stage("evaluate", "sft") / "summary.json")
    # Eight prompts can never pass a margin of five points.
    assert summary["verdict"]["decision"] in ("NOT DECIDED", "DO NOT SHIP")
    assert "whole-loop" in project.report.read_text(encoding="utf-8")


def test_a_new_prompt_makes_stages_stale_and_is_collected_alone(tmp_path: Path) -> None:
    project = make_project(tmp_path, rows=24)
    with (tmp_path / "answers.jsonl").open("a") as file:
        file.write(json.dumps({"prompt": "one more question", "output": "{}"}) + "\n")
    config = load_config(project)
    for stage in ("prompts", "collect", "curate"):
        run_stage(project, config, stage, None)
    with (tmp_path / "prompts.jsonl").open("a") as file:
        file.write(json.dumps({"prompt": "one more question"}) + "\n")
    states = {s.stage: s.state for s in steps(project, config)}
    assert states["prompts"] == "stale"
    before = project.ledger.stat().st_size
    run_stage(project, config, "prompts", None)
    assert {s.stage: s.state for s in steps(project, config)}["collect"] == "stale"
    result = run_stage(project, config, "collect", None)
    assert result.new == 1, result
    assert project.ledger.stat().st_size >= before


def test_a_committee_of_one_is_refused_before_it_is_paid(tmp_path: Path) -> None:
    """By each of the commands that buy answers to choose among them."""
    config = load_config(make_project(tmp_path, rows=4), ["curate.choose=committee"])
    project = Project(tmp_path)
    wish = Wish("SHIP", 5.0, "sft", "distil until SHIP --budget 5")
    buyers: list[Callable[[], object]] = [
        lambda: run_missing(project, config),
        lambda: Until(project, config, wish),
        lambda: active.run(project, config, rounds=2),
    ]
    for buy in buyers:
        with pytest.raises(UserError, match=r"each prompt has one answer. Add teachers.*collect.samples: 3"):
            buy()
    assert project.prompts.exists() and not project.answers.exists() and not project.ledger.exists()


def test_a_missing_earlier_stage_is_named(tmp_path: Path) -> None:
    project = make_project(tmp_path, rows=4)
    with pytest.raises(UserError, match="distil collect"):
        ensure(project, load_config(project), "collect", before="curate")


def test_after_the_readme_s_own_sequence_nothing_is_left_to_do(done: tuple[Project, Config], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(done[0].root, copy)
    sequence = [
        "train --as small",
        "evaluate small",
        "config set cost.student_host.usd_per_hour=0.6",
        "cost",
        "report",
        "run",
    ]
    for words in sequence:
        result = CliRunner().invoke(cli, [*words.split(), "--project", str(copy)])
        assert result.exit_code == 0, (words, result.output, result.exception)
    assert "Nothing to do" in result.output
    left = steps(Project(copy), load_config(Project(copy)))
    assert {s.state for s in left} == {"done"} and {s.name for s in left if s.name} == {"small"}


def test_a_training_of_the_old_default_rate_is_not_done_again(tmp_path: Path, done: tuple[Project, Config]) -> None:
    project = Project(Path(shutil.copytree(done[0].root, tmp_path / "copy")))
    config = load_config(project, ["train.learning_rate=null"])
    path = project.stage("train", "sft") / "manifest.json"
    manifest = read_json(path)
    assert isinstance(manifest, dict)
    for rate, noted, state in ((2.0e-5, None, "done"), (2.0e-5, 2.0e-5, "stale"), (1.0e-3, None, "stale")):
        manifest["config"]["learning_rate"], manifest["notes"]["learning_rate"] = rate, noted
        path.write_text(json.dumps(manifest))
        assert step_state(project, config, "train", "sft").state == state, (rate, noted)


def test_a_rate_left_open_means_what_it_meant_then(tmp_path: Path, done: tuple[Project, Config]) -> None:
    """A version for which null was the default trained it; `auto`, where it is written, is another training."""
    project = Project(Path(shutil.copytree(done[0].root, tmp_path / "copy")))
    config = load_config(project, ["train.learning_rate=null"])
    path = project.stage("train", "sft") / "manifest.json"
    manifest = read_json(path)
    assert isinstance(manifest, dict)
    manifest["config"]["learning_rate"] = None
    path.write_text(json.dumps(manifest))
    kept = config.train.model_dump(exclude_unset=True)
    del kept["learning_rate"]
    for written, state in (({}, "done"), ({"learning_rate": None}, "done"), ({"learning_rate": "auto"}, "stale")):
        section = TrainConfig.model_validate(kept | written)
        found = step_state(project, config.model_copy(update={"train": section}), "train", "sft")
        assert found.state == state, written


def test_a_new_key_at_its_default_voids_no_training(tmp_path: Path, done: tuple[Project, Config]) -> None:
    project = Project(Path(shutil.copytree(done[0].root, tmp_path / "copy")))
    path = project.stage("train", "sft") / "manifest.json"
    manifest = read_json(path)
    assert isinstance(manifest, dict)
    del (
        manifest["notes"]["student"]["template_args"],
        manifest["config"]["answers"],
    )  # as a version without them wrote it
    path.write_text(json.dumps(manifest))
    assert step_state(project, load_config(project), "train", "sft").state == "done"
    for changed in ("student.template_args={enable_thinking: true}", "train.answers=one_per_epoch"):
        assert step_state(project, load_config(project, [changed]), "train", "sft").state == "stale", changed
