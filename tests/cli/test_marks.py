"""What a person says about two answers is kept with their texts, and a wrong id is answered with where the ids are."""

from __future__ import annotations

from pathlib import Path

import pytest

from distil.cli.marks import mark_better
from distil.errors import UserError
from distil.evaluate.judge.people import pair_id, preferences
from distil.records import Prediction
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, write_records
from tests.tiny import write_tiny_splits


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    write_tiny_splits(made, test=3)
    rows = [
        Prediction(
            id=f"{model}{n}", prompt_id=e.prompt_id, model=model, text=model, finish_reason="stop", output_tokens=1
        )
        for n, e in enumerate(read_examples(made.split("test")))
        for model in ("base", "sft")
    ]
    write_records(made.predictions("sft"), rows)
    return made


def test_the_last_word_on_a_pair_counts(project: Project) -> None:
    first, second = list(read_examples(project.split("test")))[:2]
    mark_better(project, "sft", first.prompt_id, "teacher", "wrong order number")
    mark_better(project, "sft", second.prompt_id, "tie", "same")
    mark_better(project, "sft", first.prompt_id, "student", "I misread it")
    found = {preference.pair_id: preference.preferred for preference in preferences(project)}
    assert found == {
        pair_id(first.prompt_id, "sft", first.answer): "student",
        pair_id(second.prompt_id, "sft", second.answer): "tie",
    }


@pytest.mark.parametrize("prompt_id", [None, "prompt_unknown"])
def test_an_unknown_prompt_says_where_the_ids_are(project: Project, prompt_id: str | None) -> None:
    with pytest.raises(UserError, match="distil view predictions --student sft"):
        mark_better(project, "sft", prompt_id, "student", "r")
    assert preferences(project) == []
