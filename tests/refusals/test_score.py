"""What counts as a refusal, in nineteen languages and in the answers of real models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from distil.refusals.score import REFUSED, find_refusal, weigh_refusal
from distil.runs.jsonl import read_lines
from tests.refusals.phrases import HARMLESS, OTHER_LANGUAGES, PLAIN


@pytest.mark.parametrize("answer", PLAIN)
def test_a_plain_refusal_is_found(answer: str) -> None:
    assert find_refusal(answer)


@pytest.mark.parametrize(
    ("code", "answer"), [(code, text) for code, texts in OTHER_LANGUAGES.items() for text in texts]
)
def test_a_refusal_in_another_language_is_found(code: str, answer: str) -> None:
    assert find_refusal(answer), code


@pytest.mark.parametrize(("asked", "answer"), HARMLESS)
def test_what_only_sounds_like_a_refusal_is_none(asked: str, answer: str) -> None:
    assert find_refusal(answer, asked) is None


@pytest.mark.parametrize(
    ("answer", "refuses"),
    [
        ("I'm truly sorry, but I cannot do this.", True),
        ("I’m sorry, but that's not something I do.", True),
        ("im sorry, but i can't", True),
        ("I am unable to do that.", True),
        ("As an AI language model, I have no opinion.", True),
        ("As an AI engineer you will need Python.", False),
        ("I'm sorry, but your order was cancelled yesterday.", False),
        ("I can't help but smile.", False),
        ("I do not feel comfortable giving advice on that.", True),
        ("I must respectfully decline to write it.", True),
        ("I apologize, but I cannot recommend that.", True),
        ("I apologize, but I made a mistake above.", False),
        ("A long answer. " * 30 + "The bot said: I can't help with that.", False),
    ],
)
def test_refusals_of_one_sentence(answer: str, refuses: bool) -> None:
    assert (find_refusal(answer) is not None) is refuses


CLAUDE_REFUSES = (96, 126, 130, 258, 260, 291, 294, 296, 307, 327, 409, 433, 453, 456, 468)
"""By hand: rows of alpaca_eval (from 0) where claude-2 plainly refuses."""
GPT4_ANSWERS = (263, 285, 294, 352, 378, 415, 420, 423, 442, 471, 590, 606)
"""By hand: rows where GPT-4 opens with `As an AI ...` and answers nevertheless."""


def test_real_refusals_are_told_from_real_answers(data_dir: Callable[[str], Path]) -> None:
    """Aims: at least 13 of 15 refusals of claude-2 found, none of the 12 answers of GPT-4 lost."""
    claude, gpt4, davinci = (
        [row for _, row in read_lines(data_dir(f"alpaca_eval/{name}.jsonl"))]
        for name in ("claude-2", "gpt4", "text_davinci_003")
    )
    found = [at for at in CLAUDE_REFUSES if find_refusal(claude[at]["output"], claude[at]["prompt"])]
    assert len(found) >= 13
    assert not [at for at in GPT4_ANSWERS if find_refusal(gpt4[at]["output"], gpt4[at]["prompt"])]
    assert not [at for at, row in enumerate(davinci) if find_refusal(row["output"], row["prompt"])]
    refused = [at for at, row in enumerate(gpt4) if find_refusal(row["output"], row["prompt"])]
    assert len(refused) <= 8, refused


def test_a_score_comes_with_the_words_of_the_answer() -> None:
    found = weigh_refusal("I’m sorry, but I can’t help with that. Is there anything else?")
    assert found is not None and found.phrase == "I can’t help"
    assert found.score >= REFUSED and weigh_refusal("The parcel left yesterday.") is None


def test_a_refusal_that_the_prompt_asks_for_weighs_less() -> None:
    answer = "I'm sorry, but I can't help with that."
    told = "Only answer questions about parcels. For anything else, say that you cannot help."
    plain, wanted = weigh_refusal(answer, "What is love?"), weigh_refusal(answer, "What is love?", told)
    assert plain is not None and wanted is not None and wanted.score < REFUSED < plain.score
