"""The definitions of same text, same answer, refusal and cut-off answer, one table each."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distil import text
from distil.records import Message

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("A  b\n", "a B"),
        ("e\u0301te\u0301", "\u00e9t\u00e9"),
        ("ＹＥＳ", "yes"),
        ("Straße", "STRASSE"),
        ("１２", "12"),
        ("it’s “so”", 'it\'s "so"'),
        ("5–10", "5-10"),
        ("−5", "-5"),
        ("zero\u200bwidth", "zerowidth"),
        ("x²", "x^2"),
    ],
)
def test_the_same_text(left: str, right: str) -> None:
    assert text.normalize(left) == text.normalize(right)
    assert text.same_answer(left, right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Paris.", "Paris"),
        ("**Paris**", "Paris"),
        ("**Paris.**", "paris"),
        ("“Paris”.", "Paris"),
        ("`Paris`", "Paris"),
        ("```\nParis\n```", "Paris"),
        ("是。", "是"),
        ("card_arrival", "Card arrival"),
        ("1,250", "1250"),
        ("$1,250.50", "$1250.50"),
        ('{"a": "Paris."}', '{"a": "**paris**"}'),
        ('["card_arrival"]', '["Card arrival"]'),
    ],
)
def test_dressing_does_not_make_another_answer(left: str, right: str) -> None:
    assert text.same_answer(left, right) and text.same_answer(right, left)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("5", "-5"),
        ("1.0", "10"),
        ("C", "C++"),
        ("C", "C#"),
        ("60%", "60"),
        ("2⁵", "25"),
        ("1½", "11/2"),
        ("42!", "42"),
        ("The answer is (42).", "42"),
        ("__init__", "init"),
        ("Paris...", "Paris"),
        ("1_000", "1000"),
        ("1.5", "15"),
        (".5", "5"),
        ("a*b", "ab"),
        ("yes", "no"),
        ("$5", "5"),
        ("**a** and **b**", "a and b"),
        ('{"card_arrival": 1}', '{"card arrival": 1}'),
    ],
)
def test_different_answers_stay_different(left: str, right: str) -> None:
    assert not text.same_answer(left, right)


@given(st.text(max_size=12) | st.text(alphabet="a_*`\".'1,^² -½´ß", max_size=12))
@settings(max_examples=300, deadline=None)
def test_normalizing_twice_changes_nothing(value: str) -> None:
    assert text.normalize(text.normalize(value)) == text.normalize(value)
    assert text.normalize_answer(text.normalize_answer(value)) == text.normalize_answer(value)


@pytest.mark.parametrize(
    ("answer", "target", "same"),
    [
        ('```json\n{"a": 1}\n```', '{"a": 1}', True),
        ('{"a": 1, "b": [2]}', '{ "b":[2.0],\n "a":1 }', True),
        ('{"a": true}', '{"a": 1}', False),
        ('{"a": false}', '{"a": 0}', False),
        ('{"a": "1"}', '{"a": 1}', False),
        ('{"a": [{"b": "X  y"}]}', '{"a": [{"b": "x Y "}]}', True),
        ('{"A": 1}', '{"a": 1}', False),
        ('{"a": 1, "b": 2}', '{"a": 1}', False),
        ('{"a": "e\u0301"}', '{"a": "\u00e9"}', True),
        ('{"a": "ＯＫ"}', '{"a": "ok"}', True),
        ('Sure! Here it is: {"a": 1}', '{"a": 1}', False),
        ('["A", "b"]', '["a","B"]', True),
        ("{}", "{}", True),
        ('{"a": 1e999}', '{"a": -1e999}', False),
    ],
)
def test_the_same_answer(answer: str, target: str, same: bool) -> None:
    assert text.same_answer(answer, target) is same
    assert text.same_answer(target, answer) is same


@given(JSON_VALUES)
@settings(max_examples=100, deadline=None)
def test_a_normalized_value_stays_as_it_is_when_repeated(value: text.Json) -> None:
    once = text.normalize_value(value)
    assert text.normalize_value(once) == once


def test_json_of_a_whole_text_of_an_answer_and_inside_prose() -> None:
    fenced = '```json\n{"a": 1}\n```'
    assert text.parse_object(fenced) == {"a": 1} and text.parse_json(fenced) is None
    assert text.parse_object("[1, 2]") is None and text.parse_answer("[1, 2]") == [1, 2]
    for broken in ("12", '{"a": NaN}', '{"a": 1} trailing', "[" * 100_000, "[" * 200 + "]" * 200, ""):
        assert text.parse_json(broken) is None
    assert text.find_json('Sure! {"a": [1]} There.', "{") == {"a": [1]}
    assert text.find_json("none", "{") is None and text.find_json("] [", "[") is None


def test_spoken_turns_leave_out_system_and_developer() -> None:
    turns = [Message(role=role, content=role) for role in ("system", "developer", "user", "assistant")]
    assert text.spoken_turns(turns) == turns[2:]
    assert text.instructions(turns) == "system\ndeveloper"
    assert text.prompt_key(turns) == text.prompt_key([Message(role="user", content="User\nassistant ")])


def test_values_inside_prose_and_runaway_brackets() -> None:
    assert [value for _, _, value in text.json_values('see {"a": [1]} and [2] or {x}')] == [{"a": [1]}, [2]]
    for piece in ("[", '{"a":', "{ ", "[1,"):
        assert list(text.json_values(piece * 50_000)) == []
