"""A student that has learned a test prompt is refused, whatever happened to the split since."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from distil.errors import UserError
from distil.evaluate.seen import refuse_trained
from distil.records import Answer, Example, Message, Prompt, Sampling
from distil.runs.artifacts import Project
from distil.runs.jsonl import write_records
from distil.runs.manifest import stage_run
from distil.runs.schemas.trained import Trained


def example(*turns: str, system: str | None = None) -> Example:
    """User and assistant in turn, the last one the answer."""
    messages = [Message(role="system", content=system)] if system else []
    messages += [Message(role=("user", "assistant")[i % 2], content=text) for i, text in enumerate(turns[:-1])]
    prompt = Prompt.make(messages)
    answer = Answer(
        id="a", prompt_id=prompt.id, teacher="t", sampling=Sampling(), text=turns[-1], finish_reason="stop", call_id="c"
    )
    return Example.of(prompt, answer, "train")


def trained_on(folder: Path, *examples: Example) -> Project:
    project = Project(folder)
    write_records(project.trained("sft"), map(Trained.of, examples))
    return project


def test_a_student_trained_on_test_prompts_is_refused(tmp_path: Path) -> None:
    project = trained_on(tmp_path, example("What is it?", "A kettle."), example("And that?", "A cup."))
    tests = [example("What  is IT?", "Something else."), example("Unseen?", "Yes.")]
    with pytest.raises(UserError, match=r"trained on 1 of the 2 prompts .*What is IT\?.*`distil train --as sft-2`"):
        refuse_trained(project, "sft", tests)
    assert refuse_trained(project, "sft", tests[1:]) == []


def test_an_earlier_turn_of_a_conversation_counts(tmp_path: Path) -> None:
    project = trained_on(tmp_path, example("First?", "One.", "Second?", "Two."))
    with pytest.raises(UserError, match="trained on 1 of the 1"):
        refuse_trained(project, "sft", [example("First?", "Uno.")])
    context = example("First?", "One.", "Second?", "Two.")
    context = context.model_copy(
        update={
            "messages": [m.model_copy(update={"weight": 0}) if i == 1 else m for i, m in enumerate(context.messages)]
        }
    )
    assert refuse_trained(trained_on(tmp_path, context), "sft", [example("First?", "Uno.")]) == []


def test_the_same_question_about_another_document_is_new(tmp_path: Path) -> None:
    project = trained_on(tmp_path, example("Summarize it.", "A tale.", system="The tale of the fox."))
    assert refuse_trained(project, "sft", [example("Summarize it.", "A law.", system="The law of the sea.")]) == []


def test_without_a_record_a_changed_train_file_is_noted(tmp_path: Path) -> None:
    project = Project(tmp_path)
    write_records(project.split("train"), [example("a", "b")])
    with stage_run(project, "train", {}, "sft") as stage:
        stage.reads(project.split("train"))
    assert refuse_trained(project, "sft", [example("a", "b")]) == []
    project.split("train").write_text(json.dumps(example("c", "d").to_chat()) + "\n")
    (note,) = refuse_trained(project, "sft", [example("a", "b")])
    assert "can't be checked" in note
