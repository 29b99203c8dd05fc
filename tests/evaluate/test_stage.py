"""The whole stage on a tiny model: files, reuse, slices, and what is said when something is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from distil.calls.config import TeacherConfig
from distil.errors import UserError
from distil.evaluate import stage
from distil.evaluate.config import EvaluateConfig
from distil.models.config import StudentConfig
from distil.records import Prediction, Sampling, Score
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records
from distil.runs.manifest import read_manifest
from distil.runs.schemas.summary import Summary, read_summary
from tests.tiny import save_tiny, write_tiny_splits

TEACHER = TeacherConfig(model="recorded/none.jsonl", sampling=Sampling(temperature=0.7, max_tokens=6))
SECTION = EvaluateConfig(
    metrics=["field_agreement", "exact_match", "rouge_l", "valid_json", "truncated", "length_ratio"],
    ceiling=False,
    latency_prompts=2,
)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / "task")
    write_tiny_splits(made, test=36)
    for name, seed in (("one", 1), ("two", 2)):
        save_tiny(made.model(name), seed=seed)
    save_tiny(tmp_path / "base", seed=0)
    return made


def evaluate(project: Project, name: str = "one", **changes: Any) -> Summary:
    section = SECTION.model_copy(update=changes)
    student = StudentConfig(model=str(project.root.parent / "base"))
    return stage.run(project, section, name=name, teachers=[TEACHER], student=student)


def test_all_files_are_written_and_agree_with_each_other(project: Project) -> None:
    summary = evaluate(project)
    folder = project.stage("evaluate", "one")
    assert read_summary(folder / "summary.json") == summary
    predictions = list(read_records(folder / "predictions.jsonl", Prediction))
    assert {(p.model, p.prompt_id) for p in predictions} == {
        (model, f"prompt_{i}") for model in ("teacher", "base", "one") for i in range(16, 52)
    }
    scores = list(read_records(folder / "scores.jsonl", Score))
    mine = [s.value for s in scores if s.model == "one" and s.metric == "rouge_l"]
    assert summary.models["one"]["rouge_l"].mean == pytest.approx(sum(mine) / len(mine))
    assert "rouge_l" not in summary.models["teacher"]
    assert summary.primary == "field_agreement"
    assert summary.verdict.decision == "DO NOT SHIP"  # random weights
    assert {d.versus for d in summary.differences} == {"teacher", "base"}
    assert len(summary.slices) == 3
    assert [p.coverage for p in summary.confidence_curve][-1] == 1.0
    assert summary.confidence_curve[-1].served == pytest.approx(summary.models["one"]["field_agreement"].mean)
    assert summary.size["one"].bytes == 4 * summary.size["one"].parameters
    assert summary.speed["one"].requests == 2
    manifest = read_manifest(project, "evaluate", "one")
    assert manifest is not None
    assert manifest.notes["verdict"].endswith(summary.verdict.sentence)


def test_students_answer_greedily_within_the_teachers_limit(project: Project) -> None:
    evaluate(project)
    rows = list(read_records(project.stage("evaluate", "one") / "predictions.jsonl", Prediction))
    assert max(p.output_tokens for p in rows if p.model == "one") <= 6


def test_a_local_copy_of_the_teacher_gives_its_size_and_speed(project: Project) -> None:
    copy = save_tiny(project.root.parent / "teacher", hidden=64)
    summary = evaluate(project, baseline=False, local_teacher=str(copy))
    assert summary.size["teacher"].parameters > summary.size["one"].parameters
    assert summary.speed["teacher"].tokens_per_second
    assert "metric" in str(summary) and summary.verdict.sentence in str(summary)
    other = evaluate(project, "two", baseline=False, local_teacher=str(copy))
    assert other.speed["teacher"] == summary.speed["teacher"]


def test_missing_inputs_are_reported_with_the_command_to_run(project: Project) -> None:
    with pytest.raises(UserError, match=r"distil train --as thre"):
        evaluate(project, "thre")
    with pytest.raises(UserError, match="is reserved"):
        evaluate(project, "base")
    project.split("test").unlink()
    with pytest.raises(UserError, match="Run `distil curate`"):
        evaluate(project)
    assert read_manifest(project, "evaluate", "one") is None


def test_an_unknown_metric_costs_nothing(project: Project) -> None:
    with pytest.raises(UserError, match="is not a metric"):
        evaluate(project, metrics=["bleu"])
