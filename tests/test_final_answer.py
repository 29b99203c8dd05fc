"""What an answer comes to: numbers by value, letters, labels inside of prose, JSON, tool calls; open text has no result."""

from __future__ import annotations

import pytest

from distil.final_answer import Kind, are_labels, final_answer, form_of, label_in, same_final, shared_form

LABELS = frozenset({"card arrival", "lost card", "not urgent", "urgent"})


@pytest.mark.parametrize(
    ("kind", "one", "other", "same"),
    [
        ("number", "She makes 9 * 2 = $18.\nA: 18", "16 - 7 = 9, and 9 * $2 = $18 every day.", True),
        ("number", "#### 1,250", "The answer is 1250.0.", True),
        ("number", "\\boxed{42}", "So it is -42.", False),
        ("number", "<think>7? no, 8</think>It is 9.", "9", True),
        ("number", "I don't know.", "9", False),
        ("letter", "(B) Paris, because it is the capital.", "The answer is B.", True),
        ("letter", "A.", "The answer is B.", False),
        ("label", "card_arrival", "The intent is **Card arrival**.", True),
        ("label", "This is not urgent.", "urgent", False),
        ("label", "not_urgent", "This is not urgent.", True),
        ("json", '{"a": 1, "b": "x"}', '```json\n{"b": "X", "a": 1.0}\n```', True),
        ("json", '{"a": 1}', '{"a": 2}', False),
        ("text", "It takes two days.", "Two days.", False),
    ],
)
def test_results_are_compared_and_not_wordings(kind: Kind, one: str, other: str, same: bool) -> None:
    finals = [final_answer(text, None, kind, LABELS) for text in (one, other)]
    assert same_final(*finals) == same
    assert same_final(finals[1], finals[0]) == same


def test_prose_that_names_two_labels_gives_none() -> None:
    assert label_in("Either card arrival or lost card, I can't tell.", LABELS) is None
    assert label_in("Something else", frozenset()) == "something else"


def test_the_form_of_an_answer_and_of_several() -> None:
    texts = ["#### 3", "(B)", '{"a": 1}', "billing", "It depends on the weather, and on what you mean by it.", ""]
    forms = [form_of(text) for text in texts]
    assert forms == ["number", "letter", "json", "label", "text", "text"]
    assert form_of("", [{"function": {"name": "f", "arguments": "{}"}}]) == "calls"
    assert shared_form(["number", "number", "text", "text"]) == "number"
    assert shared_form(["number", "text", "text"]) == shared_form([]) == "text"


def test_labels_are_few_and_each_comes_twice() -> None:
    assert are_labels(["yes", "no", "Yes", "no."])
    assert not are_labels(["yes", "no"])
    assert not are_labels(["a sentence of seven words says much", "yes"] * 4)
