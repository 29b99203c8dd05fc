"""`distil demo`: what it prints at the end, and which folders it refuses to resume. The stages have tests of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

import distil.bundled
from distil.bundled.triage import prompt_rows
from distil.cli import demo
from distil.cli.demo_result import DemoResult, Row, gather, show
from distil.config import load_config
from distil.config_file import write_config
from distil.errors import UserError
from distil.runs.artifacts import Project
from distil.runs.jsonl import write_json
from distil.runs.manifest import read_manifest
from distil.runs.schemas.interval import Interval
from distil.runs.schemas.summary import Slice, read_summary
from tests.report.sample import make_project, write_cost

STUDENTS = ["baseline", "sft", "logits"]


@pytest.fixture
def made(tmp_path: Path) -> Project:
    project = Project(tmp_path / "demo")
    demo._prepare(project, 60, 9123)
    return project


def refusal(project: Project, prompts: int | None = None, port: int | None = None) -> str:
    with pytest.raises(UserError) as raised:
        demo._check_same(project, prompts, port)
    message = str(raised.value)
    assert "distil demo --dir demo2" in message and str(project.root) in message and "\n" not in message
    return message


def test_a_prepared_demo_is_resumed_with_the_same_options(made: Project) -> None:
    demo._check_same(made, None, None)
    demo._check_same(made, 60, 9123)


def test_other_options_than_the_folder_has_are_refused(made: Project) -> None:
    assert "60 prompts to train on, not 70" in refusal(made, prompts=70)
    assert "port 9123, not 9124" in refusal(made, port=9124)


def test_a_demo_of_an_older_version_is_refused_in_one_line(made: Project) -> None:
    rows = [{k: v for k, v in row.items() if k != "wording"} for row in prompt_rows(train=60, test=210)]
    file = made.root / "prompts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert "not a demo of this version" in refusal(made)


@pytest.mark.parametrize("text", ["colect: {}\n", "{", "task: other\n"])
def test_a_folder_with_another_config_is_refused(made: Project, text: str) -> None:
    made.config.write_text(text, encoding="utf-8")
    assert "not a demo of this version" in refusal(made)


def test_a_project_that_is_no_demo_is_refused(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.config.write_text(write_config(demo.demo_config(9123)), encoding="utf-8")
    assert "not a demo of this version" in refusal(project)


def test_the_command_refuses_an_older_demo_without_traceback(made: Project) -> None:
    file = made.root / "prompts.jsonl"
    file.write_text(json.dumps({"prompt": "hi", "reference": "{}", "group": "a", "split": "train"}) + "\n")
    command = [sys.executable, "-m", "distil", "demo", "--dir", str(made.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert "not a demo of this version" in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_a_finished_stage_is_not_run_again(made: Project, capsys: pytest.CaptureFixture[str]) -> None:
    first, *_ = demo._steps(made, load_config(made), [])
    demo._run(made, first)
    manifest = read_manifest(made, "prompts")
    assert "already done" not in capsys.readouterr().err
    demo._run(made, first)
    assert "distil prompts load: already done" in capsys.readouterr().err
    assert read_manifest(made, "prompts") == manifest


def test_every_student_is_trained_and_evaluated(made: Project) -> None:
    """The baseline, too; but it is a rival, so the verdict is corrected for the other two only."""
    config = load_config(made)
    steps = demo._steps(made, config, [])
    for stage in ("train", "evaluate"):
        assert [step.student for step in steps if step.stage == stage] == STUDENTS
    assert config.evaluate.students == 2 and config.evaluate.set_apart == {"wording": "unseen"}
    targets = {step.student: step.config.train.target for step in steps if step.stage == "train"}
    assert targets == {"baseline": "reference", "sft": "teacher", "logits": "teacher"}


def test_the_teacher_is_at_least_five_times_the_student() -> None:
    sizes = {}
    for name in ("teacher", "student"):
        folder = Path(distil.bundled.__file__).parent / "models" / name
        sizes[name] = (folder / "model.safetensors").stat().st_size
    assert sizes["teacher"] >= 5 * sizes["student"]


def test_the_result_is_about_one_student(tmp_path: Path) -> None:
    """Decision, shift, bill and payback belong to the best distilled student, not to the baseline."""
    project = make_project(tmp_path, right={"baseline": 0.99, "sft": 0.96, "logits": 0.80})
    write_cost(project)
    for name in STUDENTS:
        set_apart(project, name)
    result = gather(project, STUDENTS)
    sft = read_summary(project.summary("sft"))
    assert result.student == "sft"
    assert (result.decision, result.sentence) == (sft.verdict.decision, sft.verdict.sentence)
    rows = {row.model: row for row in result.rows}
    assert list(rows) == ["teacher", "base", *STUDENTS]
    assert rows["sft"].known == sft.models["sft"]["field_accuracy"] and rows["base"].unseen is None
    assert rows["teacher"].unseen == interval(0.9) and rows["sft"].unseen == interval(0.8)


def set_apart(project: Project, name: str) -> None:
    """Adds the slice of unseen wordings to a summary."""
    summary = read_summary(project.summary(name))
    part = Slice(
        field="wording", name="unseen", prompts=200, set_apart=True, student=interval(0.8), other=interval(0.9),
        difference=interval(-0.1), p=0.001, p_corrected=None,
    )  # fmt: skip
    changed = summary.model_copy(update={"slices": [part, *summary.slices]})
    write_json(project.summary(name), changed.model_dump(mode="json"))


def interval(mean: float) -> Interval:
    return Interval(mean=mean, low=mean - 0.02, high=mean + 0.02, n=200)


def test_the_end_names_both_slices_verdict_bill_and_page(capsys: pytest.CaptureFixture[str]) -> None:
    show(
        DemoResult(
            rows=[Row("teacher", interval(0.97), interval(0.93), 5_510_000, 1800.0), Row("base", interval(0.0), None, None, None),
                  Row("sft", interval(0.96), interval(0.83), 1_050_000, 5500.0)],
            student="sft", decision="SHIP", sentence="it is good enough.", prompts=400, spent_usd=0.31,
            per_million={"teacher": 104.9, "student": 58.4}, payback="200 days (sft alone)", findings=["a", "b"],
            report=Path("demo/work/report/index.html"),
        ),
        {"sft": "fine-tuned on the teacher's answers"},
    )  # fmt: skip
    printed = click.unstyle(capsys.readouterr().out)
    for part in (
        "new messages", "unseen wordings", "97.0% [95.0, 99.0]", "83.0% [81.0, 85.0]", "SHIP (sft): it is good enough.",
        "sft gets 83.0% of the fields right instead of 96.0%, the teacher 93.0% instead of 97.0%", "$104.90 per million requests",
        "$58.40 with sft", "cost $0.31", "payback: 200 days (sft alone)", "2 things to look at",
        "Page: demo/work/report/index.html",
    ):  # fmt: skip
        assert part in printed, part
