"""Rows that ask the same and come to something else: which stay, and what dropped.jsonl says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from distil.curate.config import CurateConfig
from distil.curate.stage import run
from distil.records import Verdict
from distil.runs.jsonl import read_examples, read_records
from tests.curate.material import answer, project_with, prompt

PAY = (
    "How do I pay my bill online today?",
    "how do I pay my bill online  today?",
    "HOW DO I PAY my bill online today?",
)


def settled(folder: Path, texts: Sequence[str], how: str = "majority", **first: str) -> tuple[list[str], list[Verdict]]:
    """(answers that are trained on, verdicts) of the same question asked with other cases and blanks."""
    prompts = [prompt(f"{PAY[i % 3]}{' ' * (i // 3)}", **(first if i == 0 else {})) for i in range(len(texts))]
    project = project_with(folder, prompts, [answer(p, text) for p, text in zip(prompts, texts, strict=True)])
    run(
        project,
        CurateConfig.model_validate({"contradictions": how, "test": 0, "validation": 0, "near_duplicates": None}),
    )
    kept = [row.answer for side in ("train", "test") for row in read_examples(project.split(side))]
    return kept, [v for v in read_records(project.dropped, Verdict) if v.filter == "contradiction"]


@pytest.mark.parametrize(
    ("texts", "how", "kept"),
    [
        (["A", "B", "C"], "majority", ["A"]),
        (["A", "B", "B"], "majority", ["B"]),
        (["A", "B", "B"], "first", ["A"]),
        (["A", "B", "C"], "drop", []),
        (["A", "B", "C"], "keep", ["A", "B", "C"]),
        (["billing", "Refund", "refund."], "majority", ["Refund"]),
        (['{"a": 1}', '{"a": 2}', '{ "a": 2.0 }'], "majority", ['{"a": 2}']),
        (["You owe 5 dollars.\nA: 5", "So A: 6", "A: 6"], "majority", ["So A: 6"]),
    ],
)
def test_one_result_of_a_question_stays(tmp_path: Path, texts: list[str], how: str, kept: list[str]) -> None:
    if not kept:
        texts, kept = [*texts, "an answer that stays"], ["an answer that stays"]
        prompts = [prompt(text) for text in (*PAY, "Another question altogether, with its own words?")]
        project = project_with(tmp_path, prompts, [answer(p, text) for p, text in zip(prompts, texts, strict=True)])
        run(project, CurateConfig(contradictions="drop", test=0, validation=0))
        assert [row.answer for row in read_examples(project.split("train"))] == kept
        return
    found, _ = settled(tmp_path, texts, how)
    # rows with the same result are duplicates of each other: one of them stays
    assert [text for text in kept if text in found] or len(found) == len(kept)
    assert len(found) == len(kept)


def test_the_reason_lists_the_answers(tmp_path: Path) -> None:
    _, verdicts = settled(tmp_path, ["A", "B", "B"])
    assert [v.reason for v in verdicts] == ["the same question has different answers: A (1), B (2); B stays"]


def test_open_texts_do_not_contradict_each_other(tmp_path: Path) -> None:
    texts = [f"You can pay {how} if you have an account with us already." for how in ("here", "in the app", "there")]
    found, verdicts = settled(tmp_path, texts)
    assert len(found) == 3 and not verdicts


def test_rows_fixed_as_test_stay(tmp_path: Path) -> None:
    found, verdicts = settled(tmp_path, ["A", "B", "B"], split="test")
    assert "A" in found and not verdicts


def test_other_tools_or_images_are_another_question(tmp_path: Path) -> None:
    schema = {"type": "json_object"}
    prompts = [prompt(PAY[0]), prompt(PAY[0], response_format=schema)]
    project = project_with(tmp_path, prompts, [answer(prompts[0], "A"), answer(prompts[1], '{"a": 1}')])
    run(project, CurateConfig(test=0, validation=0))
    assert not list(read_records(project.dropped, Verdict))
