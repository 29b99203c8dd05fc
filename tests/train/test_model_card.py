"""The card of an exported student: what is known is on it, what is not is said to be unknown."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from distil.records import Example, Message
from distil.runs.artifacts import Project
from distil.runs.jsonl import write_records
from distil.runs.manifest import stage_run
from distil.runs.schemas.notes import TrainNotes
from distil.train.model_card import card, write_model_card


def trained(folder: Path, base: str) -> Project:
    """A project whose manifests say that a student was trained."""
    project = Project(folder)
    turns = [Message(role="user", content="a"), Message(role="assistant", content="b")]
    examples = [Example(id="e", prompt_id="p", answer_id=None, messages=turns, split="train")] * 3
    with stage_run(project, "collect", {}) as stage:
        stage.notes["terms"] = ["OpenAI: outputs may not train a | rival."]
    with stage_run(project, "curate", {}) as stage:
        stage.wrote(project.split("train"), write_records(project.split("train"), examples))
    with stage_run(project, "train", {"method": "sft", "epochs": 3}, "sft") as stage:
        stage.reads(project.split("train"))
        notes = TrainNotes(student={"model": base}, teacher="openai/<b>gpt-4")
        stage.notes.update(notes.model_dump())
    return project


def test_the_card_names_base_teacher_data_and_terms(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Base\n")
    project = trained(tmp_path / "project", str(base))
    path = tmp_path / "README.md"
    write_model_card(project, "sft", path)
    text = path.read_text()
    header = yaml.safe_load(text.split("---")[1])
    assert header["base_model"] == "base" and str(tmp_path) not in text and header["license"] == "apache-2.0"
    assert "| teacher | openai/&lt;b>gpt-4 |" in text and "| method | sft |" in text
    assert "| `work/curate/train.jsonl` | 3 | `" in text
    assert "It was not evaluated." in text and "a \\| rival" in text


def test_an_unknown_license_and_a_bad_summary_are_said(tmp_path: Path) -> None:
    project = trained(tmp_path, "org/model: x")
    project.summary("sft").parent.mkdir(parents=True)
    project.summary("sft").write_text("{}")
    text = "\n".join(card(project, "sft"))
    header = yaml.safe_load(text.split("---")[1])
    assert header["base_model"] == "org/model: x" and header["license"] == "other"
    assert "not known here: look it up" in text
    assert "Run `distil evaluate` again" in text


@pytest.mark.parametrize("configured", [None, "auto"])
def test_the_rate_that_was_taken_is_named(tmp_path: Path, configured: str | None) -> None:
    project = trained(tmp_path, "m")
    with stage_run(project, "train", {"method": "sft", "learning_rate": configured}, "sft") as stage:
        stage.notes.update(TrainNotes(student={"model": "m"}, learning_rate=0.0003).model_dump())
    assert "| learning rate | 0.0003 |" in "\n".join(card(project, "sft"))
