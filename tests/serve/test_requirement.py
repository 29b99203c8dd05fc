"""Answers are checked against the request's tools and tool_choice before a client gets them; response formats in test_gateway."""

from __future__ import annotations

import json
from typing import Any

import pytest

from distil.records import Message, Sampling, ToolChoice, Usage
from distil.serve.requirement import demands_calls, meets_requirement
from distil.serve.wire import BadRequest, ChatReply, ChatRequest

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CLOCK = {"type": "function", "function": {"name": "clock"}}
NAMED: ToolChoice = {"type": "function", "function": {"name": "weather"}}


def asked(choice: ToolChoice | None = None, **fields: Any) -> ChatRequest:
    messages = [Message(role="user", content="Oslo?")]
    sampling = Sampling(temperature=0, max_tokens=9)
    return ChatRequest("m", messages, sampling, tools=[WEATHER, CLOCK], tool_choice=choice, **fields)


def reply(*calls: tuple[str, Any]) -> ChatReply:
    made = [
        {"id": f"call_{i}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for i, (name, arguments) in enumerate(calls)
    ]
    return ChatReply("" if calls else "It is cold.", "stop", Usage(), tool_calls=made or None)


OSLO = ("weather", json.dumps({"city": "Oslo"}))


@pytest.mark.parametrize(
    ("choice", "calls", "fits"),
    [
        (None, [], True),
        (None, [OSLO], True),
        (None, [OSLO, ("clock", "{}")], True),
        (None, [("clock", "")], True),
        (None, [("weather", '{"city": 3}')], False),
        (None, [("weather", '{"city": "Oslo')], False),
        (None, [("weather", "[]")], False),
        (None, [("wether", "{}")], False),
        ("none", [], True),
        ("none", [OSLO], False),
        ("required", [], False),
        ("required", [("clock", "{}")], True),
        (NAMED, [], False),
        (NAMED, [("clock", "{}")], False),
        (NAMED, [OSLO], True),
    ],
)
def test_calls_are_of_the_tools_that_were_asked_for(
    choice: ToolChoice | None, calls: list[tuple[str, Any]], fits: bool
) -> None:
    assert meets_requirement(asked(choice), reply(*calls)) is fits
    assert demands_calls(asked(choice)) is (choice not in (None, "none"))


def test_one_call_where_only_one_is_allowed() -> None:
    request = asked(parallel_calls=False)
    assert meets_requirement(request, reply(OSLO)) and not meets_requirement(request, reply(OSLO, OSLO))


def test_a_schema_that_is_none_is_the_requests_fault() -> None:
    broken = {"type": "function", "function": {"name": "weather", "parameters": {"type": "objekt"}}}
    request = ChatRequest("m", asked().messages, asked().sampling, tools=[broken])
    with pytest.raises(BadRequest, match="parameters of 'weather'"):
        meets_requirement(request, reply(OSLO))
