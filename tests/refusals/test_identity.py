"""Answers that say who made them, and answers that only talk about vendors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from distil.refusals.identity import vendor_identity
from distil.runs.jsonl import read_lines


@pytest.mark.parametrize(
    "answer",
    [
        "I'm Claude, made by Anthropic.",
        "My name is Gemini, a large language model trained by Google.",
        "I am Qwen, created by Alibaba Cloud.",
        "As a large language model trained by OpenAI, I cannot browse.",
        "I was developed by researchers at DeepSeek.",
        "You can call me ChatGPT!",
        "我是通义千问，由阿里云开发的语言模型。",
        "Je suis ChatGPT, un modèle développé par OpenAI.",
        "Ich bin ein KI-Modell, entwickelt von OpenAI.",
        "Soy un asistente creado por Anthropic.",
    ],
)
def test_an_answer_that_names_its_maker_is_found(answer: str) -> None:
    found = vendor_identity(answer, "Who are you?")
    assert found is not None and found.score >= 0.5 and found.phrase in answer


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("What is Claude?", "Claude is a family of models made by Anthropic."),
        ("Paint!", "Hi, I'm Claude Monet and I paint water lilies."),
        ("Your sign?", "I'm a Gemini, born in June."),
        ("Introduce yourself as a character", "My name is Claude and I live in Lyon with two cats."),
        ("Finish the story.", 'The bot said: "I\'m Claude, made by Anthropic." Nobody laughed.'),
        ("Translate: Je suis ChatGPT, créé par OpenAI.", "I am ChatGPT, created by OpenAI."),
        ("Your job?", "I am an assistant professor at Google's university program."),
        ("Tools?", "I use a tool developed by Google every day."),
        ("Who are you?", "I'm the support assistant of ACME."),
    ],
)
def test_talk_about_vendors_is_no_identity(asked: str, answer: str) -> None:
    found = vendor_identity(answer, asked)
    assert found is None or found.score < 0.5


def test_real_answers_that_name_anthropic_are_found(data_dir: Callable[[str], Path]) -> None:
    """Claude-2 presents itself in 17 rows (by hand); two more speak of the company, and GPT-4 of none."""
    counts = {}
    for name in ("claude-2", "gpt4", "text_davinci_003"):
        rows = [row for _, row in read_lines(data_dir(f"alpaca_eval/{name}.jsonl"))]
        found = [vendor_identity(row["output"], row["prompt"]) for row in rows]
        counts[name] = sum(each is not None and each.score >= 0.5 for each in found)
    assert counts == {"claude-2": 17, "gpt4": 0, "text_davinci_003": 0}
