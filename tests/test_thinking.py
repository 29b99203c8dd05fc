"""Thinking is parted from the answer in the marks that real models write, and what only speaks of the marks stays whole."""

from __future__ import annotations

from itertools import pairwise

import pytest

from distil.thinking import combine, part, thinking_so_far, visible

PARTED = [
    # (text, answer, thinking): the first six are real replies of Groq, Hugging Face's router, vLLM without a reasoning parser
    ("<think>\nOkay, 2+2.\n</think>\n\n4", "4", "Okay, 2+2."),
    ("<think>\n\n</think>\n\n4", "4", None),
    ("Okay, 2+2 is 4.\n</think>\n\n4", "4", "Okay, 2+2 is 4."),
    ('<think>plan</think>{"a":1}', '{"a":1}', "plan"),
    ('plan</think>{"a":1}', '{"a":1}', "plan"),
    ("<think>Okay, I was cut off", "", "Okay, I was cut off"),
    ("[THINK]Hm.[/THINK]4", "4", "Hm."),
    ("◁think▷Hm.◁/think▷4", "4", "Hm."),
    ("<|START_THINKING|>Hm.<|END_THINKING|>4", "4", "Hm."),
    ("<thought>\nHm.\n</thought>4", "4", "Hm."),
    ("<seed:think>Hm.</seed:think>4", "4", "Hm."),
    ("<thinking> The user greets. </thinking>\nHello!", "Hello!", "The user greets."),
    ("<reasoning>Simple.</reasoning>Paris", "Paris", "Simple."),
    ("<think>a</think>\n<think>b</think>4", "4", "a\nb"),
    ("<think>a</think>b</think>4", "4", "a\nb"),
    ("<think>is it `</think>4", "4", "is it `"),
    ("<think>```py\nx</think>\n```json\n{}\n```", "```json\n{}\n```", "```py\nx"),
    ("First ```py\nx\n</think>\n\n```json\n{}\n```", "```json\n{}\n```", "First ```py\nx"),
    ("One. <think>Now two.</think>Two.", "One. Two.", "Now two."),
    (
        "<|channel|>analysis<|message|>Simple.<|end|><|start|>assistant<|channel|>final<|message|>4<|return|>",
        "4",
        "Simple.",
    ),
    ("<|channel|>analysis<|message|>We need to", "", "We need to"),
    ("<|channel|>final <|constrain|>JSON<|message|>{}", "{}", None),
    ("analysisWe add.assistantfinal4", "4", "We add."),
]
WHOLE = [
    "4\n",
    "  An answer with blanks.  ",
    "Use the `<think>` tag and close it with `</think>`.",
    "```\n<think>\nplan\n</think>\nanswer\n```",
    'The tokens are "<think>" and "</think>".',
    "It writes <think> and never closes it.",
    "<thinking>Weighing.</thinking><answer>4</answer>",
    "analysis of the text follows",
    "<p>I think</p>",
    "",
]


@pytest.mark.parametrize(("text", "answer", "thinking"), PARTED)
def test_thinking_is_parted_from_the_answer(text: str, answer: str, thinking: str | None) -> None:
    assert part(text) == (answer, thinking)


@pytest.mark.parametrize("text", WHOLE)
def test_a_text_that_speaks_of_the_marks_stays_whole(text: str) -> None:
    assert part(text) == (text, None)


def test_parting_twice_changes_nothing() -> None:
    for text, answer, _ in PARTED:
        assert part(part(text).text) == (answer, None)


def test_a_judge_is_read_without_any_tag_of_thinking() -> None:
    assert visible("<analysis>[[B]]</analysis>[[A]]") == "[[A]]"
    assert visible("<think>[[B]]") == ""


def test_thinking_of_two_places_is_joined() -> None:
    assert combine("a", None, "b") == "a\nb" and combine(None, None) is None


@pytest.mark.parametrize("opened", [False, True])
def test_growing_thinking_is_always_a_beginning(opened: bool) -> None:
    """Whatever has come so far, what is shown of it stays as it is shown."""
    whole = ("" if opened else " <think>\n") + "a < b [c] \n</th </think>\n\nYes </think>"
    found = part(whole, opened=opened)
    assert found.thinking is not None
    shown = [thinking_so_far(whole[:end], opened=opened) for end in range(len(whole) + 1)]
    assert all(now.startswith(before) for before, now in pairwise(shown))
    assert shown[-1] == "a < b [c] \n</th" and found.thinking.startswith(shown[-1])


def test_all_is_thinking_where_an_opened_one_never_ends() -> None:
    assert part("so 12", opened=True) == ("", "so 12")
    assert part("so 12</think>\n\n12", opened=True) == ("12", "so 12")
    assert part("", opened=True) == ("", None)
