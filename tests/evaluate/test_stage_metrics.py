"""The stage with metrics of the user's own and with those that read the logits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from distil.calls.config import TeacherConfig
from distil.evaluate import stage
from distil.evaluate.config import EvaluateConfig
from distil.evaluate.metrics import METRICS
from distil.models.config import StudentConfig
from distil.records import Sampling
from distil.runs.artifacts import Project
from distil.runs.manifest import read_manifest, stage_state
from distil.runs.schemas.summary import Summary
from tests.tiny import save_tiny, write_tiny_splits

BREVITY = "def brevity(case):\n    return len(case.answer) <= 3\nbrevity.label = 'brief'\nbrevity.deciding = True\n"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project(tmp_path / "task")
    write_tiny_splits(made, test=36)
    save_tiny(made.model("one"), seed=1)
    save_tiny(tmp_path / "teacher", seed=2)
    (made.root / "mine.py").write_text(BREVITY, encoding="utf-8")
    yield made
    METRICS.pop("brevity", None)


def evaluate(project: Project, **changes: Any) -> Summary:
    teacher = TeacherConfig(model="recorded/none.jsonl", sampling=Sampling(temperature=0.7, max_tokens=6))
    section = EvaluateConfig(ceiling=False, baseline=False, latency_prompts=0, **changes)
    return stage.run(project, section, name="one", teachers=[teacher], student=StudentConfig(model="unused"))


def test_a_metric_of_ones_own_decides_and_its_file_is_an_input(project: Project) -> None:
    summary = evaluate(project, metrics=["rouge_l", "mine.py:brevity"])
    assert summary.primary == "brevity" and summary.metrics["brevity"].label == "brief"
    assert set(summary.models["teacher"]) == {"brevity"} and set(summary.models["one"]) == {"rouge_l", "brevity"}
    manifest = read_manifest(project, "evaluate", "one")
    assert manifest is not None and "mine.py" in manifest.inputs
    (project.root / "mine.py").write_text(BREVITY.replace("3", "4"), encoding="utf-8")
    assert stage_state(project, "evaluate", "one") == ("stale", "input mine.py has changed")


def test_logits_are_read_when_a_metric_asks_for_them(project: Project) -> None:
    local = str(project.root.parent / "teacher")
    summary = evaluate(project, metrics=["exact_match", "kl", "perplexity"], local_teacher=local)
    kl, perplexity = summary.models["one"]["kl"], summary.models["one"]["perplexity"]
    assert kl.n == perplexity.n == 36 and kl.mean > 0 and perplexity.mean > 1
    assert "kl" not in summary.models["shuffled"]
