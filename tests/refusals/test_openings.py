"""Openings that say nothing go; what is left makes sense alone, and answers about the model keep what they say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from distil.refusals.openings import opening_of, without_opening
from distil.runs.jsonl import read_lines
from tests.refusals.test_score import GPT4_ANSWERS

REST = "Pirating games breaks copyright law in most countries, and it takes income from the people who made them."


@pytest.mark.parametrize(
    ("opening", "rest"),
    [
        ("As an AI language model, I don't have personal opinions. However, ", REST),
        ("As an AI language model, I don't have personal opinions, but I can offer some context.\n\n", REST),
        ("I'm sorry, but as an AI language model, I cannot browse the internet. That said, ", REST),
        ("I am an AI language model and not a lawyer, but ", REST[0].lower() + REST[1:]),
        ("As a helpful assistant, I can list both sides, but I cannot judge since I am an AI language model. ", REST),
        ("As an AI, ", f"I think that it is wrong. {REST}"),
        ("As an AI, I don't have access to U.S. court files. ", REST),
        ("I'm an AI assistant created by Anthropic to be helpful, harmless, and honest. ", REST),
        ("Como modelo de lenguaje, ", f"no tengo opiniones, pero hay argumentos claros. {REST}"),
        ("En tant que modèle de langage, ", f"je peux expliquer la loi. {REST}"),
        (
            "作为一个人工智能语言模型，",
            "我认为盗版游戏在大多数国家违反了著作权法，也让开发者失去收入，因此不应该这样做。" * 3,
        ),
    ],
)
def test_an_empty_opening_is_taken_off(opening: str, rest: str) -> None:
    assert opening_of(opening + rest) == opening
    assert without_opening(opening + rest) == rest[0].upper() + rest[1:]


@pytest.mark.parametrize(
    "text",
    [
        REST,
        "As an AI ethics researcher, you look at who is harmed. " + REST,
        "As a helpful assistant from the year 3000, I can tell you about technology. " + REST,
        "As an AI language model, I cannot help with that.",
        "As a parent, I would talk to the school first. " + REST,
        "I cannot recommend this film highly enough. " + REST,
        "",
    ],
)
def test_other_beginnings_stay(text: str) -> None:
    assert opening_of(text) is None and without_opening(text) == text


def test_an_answer_about_the_model_keeps_what_it_says() -> None:
    answer = (
        "As an AI, I do not have emotions like a human, but I am designed to process language, emotions, and behavior."
    )
    assert without_opening(answer, "Can you think and feel like a human?").startswith(
        "I do not have emotions like a human, but"
    )


def test_real_answers_lose_only_their_opening(data_dir: Callable[[str], Path]) -> None:
    rows = [row for _, row in read_lines(data_dir("alpaca_eval/gpt4.jsonl"))]
    for at in GPT4_ANSWERS:
        answer, asked = rows[at]["output"], rows[at]["prompt"]
        kept = without_opening(answer, asked)
        assert 9 < len(answer) - len(kept) < 200 and kept[1:] == answer[-len(kept) + 1 :]
        assert "language model, I" not in kept[:80]
    touched = [row for row in rows if opening_of(row["output"], row["prompt"])]
    assert len(touched) < 35
