"""Rows that are longer than the student reads are left out by curate, said so, and never end an evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from distil.curate.config import CurateConfig
from distil.curate.stage import run
from distil.evaluate.local import Candidate
from distil.evaluate.local import answer as answers_of
from distil.models.config import StudentConfig
from distil.models.context import TokenLimit, known_context
from distil.records import Message, Sampling
from distil.runs.cache import Cache
from tests.curate.material import answer, distinct_text, project_with, prompt
from tests.tiny import save_tiny, tiny_examples

STUDENT = StudentConfig(model="bundled/student")


def test_the_context_is_read_without_a_model(tmp_path: Path) -> None:
    assert known_context("bundled/student") == 512
    assert known_context("nobody/never-downloaded") is None
    assert known_context(str(tmp_path / "absent")) is None
    (tmp_path / "config.json").write_text(json.dumps({"text_config": {"max_position_embeddings": 64}}))
    assert known_context(str(tmp_path)) == 64
    (tmp_path / "config.json").write_text("[]")
    assert known_context(str(tmp_path)) is None


def test_short_conversations_need_no_tokenizer() -> None:
    counter = TokenLimit("nobody/never-downloaded", 512)
    assert counter.excess([Message(role="user", content="short")]) is None


def test_rows_longer_than_the_student_reads_are_left_out(tmp_path: Path) -> None:
    prompts = [prompt(distinct_text(i) * (60 if i == 3 else 1)) for i in range(8)]
    project = project_with(tmp_path, prompts, [answer(p, f"Answer {i}") for i, p in enumerate(prompts)])
    section = CurateConfig(test=2)
    result = run(project, section, student=STUDENT)
    assert result.dropped == {"context": 1} and result.train + result.validation + result.test == 7
    assert any("longer than the student reads" in warning for warning in result.warnings)
    assert "the student reads at most 512" in project.dropped.read_text(encoding="utf-8")
    off = section.model_copy(update={"filters": ["default", "-context"]})
    assert run(project, off, student=STUDENT).dropped == {}


@pytest.mark.parametrize("long", [1, 3])
def test_a_prompt_that_fills_the_context_is_no_answer(tmp_path: Path, long: int) -> None:
    folder = save_tiny(tmp_path / "model")
    examples = tiny_examples(3, "test")
    longer = [
        example.model_copy(update={"messages": [Message(role="user", content="alpha " * 800), example.messages[-1]]})
        for example in examples[:long]
    ]
    source = Candidate("sft", str(folder), "float32")
    sampling = Sampling(temperature=0, max_tokens=4)
    made = answers_of(
        source, [*longer, *examples[long:]], sampling, Cache(None), batch_size=2, latency_prompts=2, seed=0
    )
    reasons = [prediction.finish_reason for prediction in made.predictions]
    assert reasons[:long] == ["context_length_exceeded"] * long and "context_length_exceeded" not in reasons[long:]
    assert made.predictions[0].text == ""
