"""What a response_format requires: curate, evaluate and the gateway say the same of an answer, the gateway strictly."""

from __future__ import annotations

import pytest

from distil.curate.evidence.corpus import Corpus
from distil.curate.evidence.requirements import json_form, json_schema
from distil.evaluate.metrics.form import schema_invalid
from distil.evaluate.metrics.table import Case
from distil.json_schema import requirement_of
from distil.records import Message, Prompt, Sampling, Usage
from distil.serve.requirement import meets_requirement
from distil.serve.wire import ChatReply, ChatRequest
from tests.curate.material import answer as answer_to

CORPUS = Corpus(json_share=0.0, same_script_share=1.0, answers=100)
OBJECT = {"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"], "additionalProperties": False}
FORMATS = {
    "object": {"type": "json_schema", "json_schema": {"name": "x", "schema": OBJECT}},
    "flat": {"type": "json_schema", "name": "x", "schema": OBJECT},
    "list": {"type": "json_schema", "json_schema": {"schema": {"type": "array", "items": {"type": "integer"}}}},
    "word": {"type": "json_schema", "json_schema": {"schema": {"enum": ["yes", "no"]}}},
    "number": {"type": "json_schema", "json_schema": {"schema": {"type": "number"}}},
    "maybe": {"type": "json_schema", "json_schema": {"schema": {"type": ["object", "null"]}}},
    "any": {"type": "json_object"},
    "regex": {"type": "regex", "value": "[a-z]+"},
    "choice": {"choice": ["yes", "no"]},
}
ANSWERS = [
    '{"a": 1}', ' {"a": 1}\n', '{"a": "1"}', '{"b": 1}', '{"a": 1, "b": 2}', '{"a": NaN}', '{"a": 1, "a": 2}', '{"a": 1',
    "[1, 2]", "[1.5]", "[]", '"yes"', '"maybe"', "yes", "no", "Yes", "3", "3.5", "NaN", "null", "", "Sure: {\"a\": 1}",
    "[" * 200 + "]" * 200,
]  # fmt: skip
FORGIVEN = {("choice", "Yes"), ("choice", '"yes"')}
"""What only a program trips over, so that a person's measure lets it pass: here the case and the quotes of a choice."""


def says_curate(name: str, text: str) -> bool:
    prompt = Prompt(id="p", messages=[Message(role="user", content="q")], response_format=FORMATS[name])
    answer = answer_to(prompt, text)
    return json_form(prompt, answer, CORPUS) is None and json_schema(prompt, answer, CORPUS) is None


def says_evaluate(name: str, text: str) -> bool:
    return schema_invalid([Case("q", text, None, None, response_format=FORMATS[name])]) == [0.0]


def says_the_gateway(name: str, text: str) -> bool:
    request = ChatRequest("m", [Message(role="user", content="q")], Sampling(), response_format=dict(FORMATS[name]))
    return meets_requirement(request, ChatReply(text, "stop", Usage()))


@pytest.mark.parametrize("name", FORMATS)
def test_three_readers_agree(name: str) -> None:
    for text in ANSWERS:
        strictly = says_the_gateway(name, text)
        assert says_curate(name, text) == strictly or (name, text) in FORGIVEN, text
        if requirement_of(FORMATS[name]).schema is not None:
            assert says_evaluate(name, text) == strictly, text


@pytest.mark.parametrize(("name", "text"), [("object", '{"a": 1}'), ("list", "[1]"), ("word", '"yes"')])
def test_only_the_gateway_refuses_a_code_fence(name: str, text: str) -> None:
    fenced = f"```json\n{text}\n```"
    assert says_curate(name, fenced) and says_evaluate(name, fenced) and not says_the_gateway(name, fenced)


def test_each_answer_is_right_for_some_and_wrong_for_others() -> None:
    """So that agreeing means something."""
    verdicts = [[says_the_gateway(name, text) for text in ANSWERS] for name in FORMATS]
    assert all(any(row) and not all(row) for row in verdicts)
