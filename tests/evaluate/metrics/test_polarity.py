"""Yes and no turned round: what is caught, and what must not be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from distil.evaluate.metrics import Case
from distil.evaluate.metrics.polarity import is_reversed, reversed_answers


@pytest.mark.parametrize(
    ("answer", "teacher"),
    [
        ("No, it is not safe.", "Yes, it is safe."),
        ("False", "True"),
        ("Nein, das geht nicht.", "Ja, das geht."),
        ("是的，可以。", "不，不可以。"),
        ("**No.**", "Yes"),
        ("Unsafe", "Safe"),
        ("Not allowed.", "Allowed"),
        ("The answer is no.", "Yes, of course."),
        ("You can't return opened boxes.", "You can return opened boxes."),
        ("The claim was approved by the office.", "The claim was denied by the office."),
        ("It isn't covered by the warranty plan.", "It’s covered by the warranty plan."),
        ("Hello. Mixing both products is dangerous for adults.", "Mixing both products is safe for adults. Bye."),
        ("You should never take both pills together.", "You should take both pills together."),
    ],
)
def test_the_opposite_is_caught(answer: str, teacher: str) -> None:
    assert is_reversed(answer, teacher) and is_reversed(teacher, answer)


@pytest.mark.parametrize(
    ("answer", "teacher"),
    [
        ("Yes", "Yes, it is."),
        ("Yes, it is safe.", "It is safe."),
        ("No country has more.", "Yes, it has."),
        ("Right angles have 90 degrees.", "No."),
        ("It is not unsafe for small children.", "It is safe for small children."),
        ("Never mind.", "Mind."),
        ("", "Yes"),
        ("You can return boxes. You cannot return food.", "You cannot return food. You can return boxes."),
        ("Berlin is the capital of Germany.", "Berlin is not in France or Spain."),
        ("1", "2"),
    ],
)
def test_what_is_not_the_opposite(answer: str, teacher: str) -> None:
    assert not is_reversed(answer, teacher) and not is_reversed(teacher, answer)


def test_it_does_not_apply_to_json_or_silence() -> None:
    rows = [
        Case("", "no", None, None),
        Case("", "no", '{"a": true}', None),
        Case("", "no", " ", None),
        Case("", "no", "yes", None),
    ]
    assert reversed_answers(rows) == [None, None, None, 1.0]


def test_two_good_answers_hardly_ever_raise_an_alarm(data_dir: Callable[[str], Path]) -> None:
    """gpt4 and claude-2 on the same 805 prompts: real contradictions included, under 1%."""
    one, other = (
        [
            json.loads(line)["output"]
            for line in data_dir(f"alpaca_eval/{name}.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
        ]
        for name in ("claude-2", "gpt4")
    )
    values = reversed_answers([Case("", answer, teacher, None) for answer, teacher in zip(one, other, strict=True)])
    assert sum(filter(None, values)) / len(values) < 0.01
