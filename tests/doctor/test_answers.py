"""What the doctor says about wrong, lonely and contradicting answers, after `distil curate` has run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from distil.curate import label_vectors
from distil.curate.config import CurateConfig
from distil.curate.stage import run
from distil.doctor import answers, data
from distil.doctor.evidence import Evidence
from distil.errors import UserError
from distil.records import Prompt
from tests.curate.material import answer, distinct_text, project_with, prompt

ALL = {"test": 0, "validation": 0, "near_duplicates": None}


def examined(folder: Path, rows: Sequence[tuple[Prompt, str]], **config: Any) -> Evidence:
    project = project_with(folder, [asked for asked, _ in rows], [answer(asked, text) for asked, text in rows])
    run(project, CurateConfig.model_validate(ALL | config))
    return Evidence(project)


def test_answers_that_contradict_references_are_counted(tmp_path: Path) -> None:
    rows = [(prompt(distinct_text(i), reference=str(i)), f"A: {i if i % 4 else -1}") for i in range(40)]
    found = answers.against_references(examined(tmp_path / "kept", rows))
    assert found.level == "warn" and found.seen.startswith("10 of 40 training answers with a reference contradict it")
    assert "wrong_answer" in (found.fix or "")
    dropped = answers.against_references(examined(tmp_path / "out", rows, filters=["default", "wrong_answer"]))
    assert dropped.level == "ok" and dropped.seen.startswith("0 of 30")
    project = project_with(tmp_path / "said", [p for p, _ in rows], [answer(p, text) for p, text in rows])
    assert any("10 of 40 training answers contradict" in w for w in run(project, CurateConfig(**ALL)).warnings)


def test_lonely_labels_are_counted_once_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise UserError("not installed")

    monkeypatch.setattr(label_vectors, "embedder", missing)
    topics = {"delivery": "where is my parcel number", "refund": "please give back the money of bill"}
    rows = [(prompt(f"{text} {i}"), label) for label, text in topics.items() for i in range(40)]
    for index in (0, 35):
        rows[index] = (rows[index][0], "refund")
    before = answers.wrong_labels(examined(tmp_path / "before", rows))
    assert before.level == "unknown" and "wrong_label" in (before.fix or "")
    shown = examined(tmp_path / "shown", rows, filters=["default", "wrong_label"], thresholds={"wrong_label": 0})
    after = answers.wrong_labels(shown)
    assert after.level == "warn" and after.seen.startswith("2 of 80 training labels")
    assert ["wrong_label" in row.suspicious for row in shown.signals].count(True) == 2


def test_contradictions_are_counted_with_one_as_example(tmp_path: Path) -> None:
    same = [(prompt(f"How do I pay my bill{' ' * i} online?"), text) for i, text in enumerate("AAB")]
    found = answers.contradicting(examined(tmp_path, [*same, (prompt("something else"), "C")]))
    assert found.level == "warn" and "1 answers were dropped" in found.seen and "A (2), B (1); A stays" in found.seen


def test_losers_of_a_choice_are_not_filtered_data(tmp_path: Path) -> None:
    asked = [prompt(distinct_text(i)) for i in range(10)]
    rows = [answer(p, f"{word} {p.id}", teacher=word) for p in asked for word in ("one", "two", "three")]
    project = project_with(tmp_path, asked, rows)
    run(project, CurateConfig(**ALL))
    assert data.much_dropped(Evidence(project)).level == "ok"
