"""JSON, schema, lists, code; refused, cut off, empty."""

from __future__ import annotations

from typing import Any

import pytest

from distil.errors import UserError
from distil.evaluate.metrics import Case, form

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
FORMAT = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
LIST = "Three things:\n- salt\n- egg\n- milk"


def case(answer: str, teacher: str | None = None, reference: str | None = None, **more: Any) -> Case:
    return Case("", answer, teacher, reference, **more)


def test_valid_json_applies_only_where_json_is_wanted() -> None:
    rows = [case("{}", teacher="prose"), case("{", teacher='{"a": 1}'), case('{"a": 2}', reference='{"a": 1}')]
    assert form.valid_json(rows) == [None, 0.0, 1.0]
    asked = [case("x", response_format=kind) for kind in (FORMAT, {"type": "json_object"}, {"type": "text"}, None)]
    assert form.valid_json(asked) == [0.0, 0.0, None, None]


@pytest.mark.parametrize(
    ("answer", "invalid"),
    [
        ('{"a": 1}', 0),
        ('```json\n{"a": 1}\n```', 0),
        ('{"a": "1"}', 1),
        ('{"a": 1, "b": 2}', 1),
        ("{}", 1),
        ("x", 1),
        ("", 1),
    ],
)
def test_an_answer_is_checked_against_its_schema(answer: str, invalid: float) -> None:
    assert form.schema_invalid([case(answer, response_format=FORMAT)]) == [invalid]
    assert form.schema_invalid([case(answer, response_format=SCHEMA)]) == [invalid]
    assert form.schema_invalid([case(answer), case(answer, response_format={"type": "json_object"})]) == [None, None]


def test_a_schema_that_is_none_is_refused_with_the_prompt() -> None:
    with pytest.raises(UserError, match=r"prompt p7 is not a JSON schema.*leave schema_invalid out"):
        form.schema_invalid([case("{}", response_format={"type": "objekt"}, prompt_id="p7")])


@pytest.mark.parametrize(
    ("answer", "teacher", "bad"),
    [
        ("{}", '{"a": 1}', 0),
        ("prose about it", '{"a": 1}', 1),
        ('{"a": 1}', "A sentence that says what is the case here.", 1),
        ("x = 1", "Here:\n```python\nx = 1\n```", 1),
        ("```\nx = 1\ny = 2\n```", "Here:\n```python\nx = 1\n```", 0),
        ("Salt, egg and milk are the things that you need.", LIST, 1),
        ("1. salt\n2. egg\n3. milk", LIST, 0),
        ("First salt.\n\nThen an egg.\n\nThen milk.", LIST, 0),
        ("| a |\n|---|\n| - b |\n- c", "| a |\n|---|\n| b |\n- c", 0),
        (LIST, "Salt, egg and milk are the things that you need.", 0),
        ("refund", "billing", 0),
        ("The label is\nrefund", "billing", 1),
        ("The answer is 5 of course, my friend", "5", 0),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "A sentence that says what is the case here.", 1),
        ("", "A sentence that says what is the case here.", 0),
    ],
)
def test_another_form_than_the_teachers(answer: str, teacher: str, bad: float) -> None:
    assert form.bad_format([case(answer, teacher)]) == [bad]
    assert form.bad_format([case(answer), case(answer, "", teacher_tool_calls=[{"function": {}}])]) == [None, None]


def test_refused_cut_off_and_empty_answers() -> None:
    refused = [case("I'm sorry, but I can't do that."), case("", finish_reason="content_filter"), case("fine")]
    assert form.refusal(refused) == [1.0, 1.0, 0.0]
    assert form.truncated([case("a", finish_reason="length"), case("a")]) == [1.0, 0.0]
    called = case("", tool_calls=[{"function": {"name": "f"}}])
    assert form.empty([case(" \n"), case("a"), called]) == [1.0, 0.0, 0.0]
