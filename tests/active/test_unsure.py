"""A real, tiny student: it is trained aside, measured on the validation prompts, and says how unsure it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from distil.active.run import no_use
from distil.active.unsure import ask_student, too_few, train, uncertainty
from distil.config import parse_config
from distil.evaluate.metrics.own import split
from distil.parts import config_of_parts
from distil.records import Prediction, Prompt
from distil.runs.artifacts import Project
from distil.runs.jsonl import write_records
from tests.tiny import save_tiny, tiny_examples


def predicted(logprobs: list[float], finish: str = "stop") -> Prediction:
    return Prediction(
        id="p", prompt_id="p", model="m", text="x", finish_reason=finish, output_tokens=2, token_logprobs=logprobs
    )


def test_uncertainty_is_that_of_the_least_probable_tokens() -> None:
    found = uncertainty([predicted([0.0, 0.0]), predicted([0.0, -1.0]), predicted([0.0], "length")], "lowest_tenth")
    assert found == pytest.approx([0.0, 1 - 0.36788, 1.0], abs=1e-4)  # 1 - 1/e; an answer that is cut off is none


def test_a_metric_of_the_user_s_own_is_found_from_aside(tmp_path: Path) -> None:
    config = parse_config(
        {
            "prompts": {"path": "p.jsonl"},
            "teachers": [{"model": "recorded/t.jsonl"}],
            "student": {"model": str(tmp_path)},
            "evaluate": {"metrics": ["exact_match", "mine.py:right"]},
        },
        "a test",
    )
    (tmp_path / "mine.py").write_text("def right(case):\n    return True\n")
    metrics = config_of_parts(Project(tmp_path), config).evaluate.metrics
    assert isinstance(metrics, list) and metrics[0] == "exact_match"
    path, name = split(metrics[1], tmp_path / "work" / "active" / "student")
    assert path.read_text().startswith("def right") and name == "right"


def test_a_student_is_trained_aside_and_asked(tmp_path: Path) -> None:
    project = Project(tmp_path)
    section = {"epochs": 1, "learning_rate": 1e-3, "validation_examples": 0}
    config = parse_config(
        {
            "prompts": {"path": "p.jsonl"},
            "teachers": [{"model": "recorded/t.jsonl", "sampling": {"max_tokens": 4}}],
            "student": {"model": str(save_tiny(tmp_path / "tiny"))},
            "evaluate": {"metrics": ["exact_match"]},
            "train": section | {"method": "logits", "early_stopping": 1},
        },
        "a test",
    )
    write_records(project.split("train"), tiny_examples(12))
    write_records(project.split("validation"), tiny_examples(4, "validation", 12))
    assert "4 validation rows" in too_few(project)
    write_records(project.split("validation"), tiny_examples(8, "validation", 12))
    assert too_few(project) == ""
    part, settings, known = train(project, config)
    assert (
        (known.rows, known.metric) == (12, "exact_match")
        and settings.train.method == "sft"
        and project.students() == []
    )
    model = part.model("active") / "model.safetensors"
    written = model.stat().st_mtime_ns
    again = train(project, config)
    assert again[2] == known and model.stat().st_mtime_ns == written  # what is done is not done again
    assert "random" in no_use(known._replace(ranking=None)) and no_use(known._replace(ranking=0.8)) == ""
    prompts = [Prompt.make(example.prompt_messages) for example in tiny_examples(3, start=40)]
    doubts = ask_student(project, part, settings, prompts)
    assert doubts.shape == (3,) and (doubts >= 0).all() and (doubts <= 1).all()
