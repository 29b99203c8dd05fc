"""Anthropic's messages over HTTP: turns, tools, streams, errors in its own shape; and OpenAI's older completions."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from distil.serve.apis.checked import Defaults
from distil.serve.apis.messages import parse_messages
from distil.serve.wire import BadRequest, Caller
from tests.serve.running import StudentServer, running
from tests.serve.test_gateway import gateway_of, teacher_server

MESSAGES = "/v1/messages"
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
TOOL = {"name": "weather", "input_schema": {"type": "object"}}
ASKED = [{"role": "user", "content": "p=0.9 hi"}]


def message(**fields: Any) -> dict[str, Any]:
    return {"model": "student", "max_tokens": 50, "messages": ASKED, **fields}


def sent(tmp_path: Path, path: str, *bodies: dict[str, Any]) -> list[tuple[int, dict[str, str], str]]:
    """What a gateway with a confident student (and a teacher that calls a tool) replies."""

    async def go() -> list[tuple[int, dict[str, str], str]]:
        replies = []
        async with running(gateway) as session:
            for body in bodies:
                async with session.post(path, json=body) as reply:
                    replies.append(
                        (
                            reply.status,
                            {name.lower(): value for name, value in reply.headers.items()},
                            await reply.text(),
                        )
                    )
        return replies

    def called(body: dict[str, Any]) -> dict[str, Any]:
        return {"role": "assistant", "content": None, "tool_calls": [CALL]}

    with StudentServer() as student, teacher_server() as teacher:
        teacher.answer = called
        gateway = gateway_of(tmp_path, student, teacher, fallback="threshold", threshold=0.5)
        replies = asyncio.run(go())
        sent.student, sent.teacher = student.answered, teacher.answered  # type: ignore[attr-defined]
        return replies


def test_turns_and_tools_become_a_chat() -> None:
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "weather"}, {"type": "text", "text": "?"}]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "x"}, {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Rome"}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "sunny"}]},
            {"type": "text", "text": "so?"},
        ]},
    ]  # fmt: skip
    body = message(
        messages=turns,
        system=[{"type": "text", "text": "Be kind."}],
        tools=[TOOL],
        tool_choice={"type": "tool", "name": "weather", "disable_parallel_tool_use": True},
        stop_sequences=["x"],
    )
    found = parse_messages(json.dumps(body).encode(), defaults=Defaults("student", 0.0, 9), caller=Caller())
    assert [(m.role, m.text) for m in found.messages] == [
        ("system", "Be kind."), ("user", "weather?"), ("assistant", "I look."), ("tool", "sunny"), ("user", "so?"),
    ]  # fmt: skip
    assert found.messages[2].reasoning_content == "hm" and found.messages[3].tool_call_id == "t1"
    assert found.messages[2].tool_calls == [
        {"id": "t1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
    ]
    assert found.tool_choice == {"type": "function", "function": {"name": "weather"}} and not found.parallel_calls
    assert found.sampling.stop == ["x"] and found.sampling.max_tokens == 50


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"messages": []}, "messages: list should have"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "messages.0.content.0: blocks of the type"),
        ({"messages": [*ASKED, {"role": "assistant", "content": "The"}]}, "continuing it is not supported"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, "thinking.type"),
        ({"mcp_servers": [{}]}, "'mcp_servers' is not supported"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools.0"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "tool_use_id is not a text"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        parse_messages(json.dumps(message(**fields)).encode(), defaults=Defaults("student", 0.0, 9), caller=Caller())


def test_answers_and_errors_have_anthropics_shape(tmp_path: Path) -> None:
    unsure = message(messages=[{"role": "user", "content": "p=0.2 hi"}], tools=[TOOL])
    plain, called, wrong, other = sent(
        tmp_path, MESSAGES, message(), unsure, message(temperature=9), message(model="gpt")
    )
    told = json.loads(plain[2])
    assert plain[1]["x-distil-answered-by"] == "student" and plain[1]["request-id"].startswith("req_")
    assert told["content"] == [{"type": "text", "text": "student: p=0.9 hi"}] and told["stop_reason"] == "end_turn"
    assert told["usage"]["input_tokens"] > 0 and told["usage"]["output_tokens"] > 0
    assert called[1]["x-distil-answered-by"] == "teacher"
    told = json.loads(called[2])
    assert told["content"] == [{"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Rome"}}]
    assert told["stop_reason"] == "tool_use"
    for (status, _, text), kind, expected in ((wrong, "invalid_request_error", 400), (other, "not_found_error", 404)):
        error = json.loads(text)
        assert (status, error["type"], error["error"]["type"]) == (expected, "error", kind) and error["request_id"]


def test_streams_have_anthropics_events(tmp_path: Path) -> None:
    unsure = message(messages=[{"role": "user", "content": "p=0.2 hi"}], tools=[TOOL], stream=True)
    plain, called = sent(tmp_path, MESSAGES, message(stream=True), unsure)
    for (_, _, text), delta in ((plain, "text_delta"), (called, "input_json_delta")):
        events = [block.split("\n")[0].removeprefix("event: ") for block in text.strip().split("\n\n")]
        kinds = [
            "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
            "message_stop",
        ]  # fmt: skip
        assert events == kinds
        assert delta in text


def test_completions_are_asked_as_a_users_turn(tmp_path: Path) -> None:
    body = {"model": "student", "prompt": ["p=0.9 a", "p=0.9 b"], "n": 2, "logprobs": 1, "max_tokens": 20}
    several, stream = sent(tmp_path, "/v1/completions", body, body | {"stream": True, "prompt": "p=0.9 c", "n": 1})
    told = json.loads(several[2])
    assert [choice["text"] for choice in told["choices"]] == ["student: p=0.9 a"] * 2 + ["student: p=0.9 b"] * 2
    assert [choice["index"] for choice in told["choices"]] == [0, 1, 2, 3] and told["object"] == "text_completion"
    assert told["choices"][0]["logprobs"]["tokens"] == ["student:", "p=0.9", "a"]
    assert sent.student[0]["messages"] == [{"role": "user", "content": "p=0.9 a"}]  # type: ignore[attr-defined]
    assert stream[2].startswith('data: {"id":"cmpl-') and stream[2].endswith("data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"prompt": [1, 2]}, "token ids"),
        ({"prompt": [[1, 2]]}, "token ids"),
        ({"prompt": " "}, "no text"),
        ({"echo": True}, "'echo' is not supported"),
        ({"best_of": 3}, "'best_of' is not supported"),
        ({"suffix": "x"}, "'suffix' is not supported"),
        ({"prompt": ["a"] * 100, "n": 100}, "more than 128 answers"),
    ],
)
def test_completions_refuse_by_name(tmp_path: Path, fields: dict[str, Any], words: str) -> None:
    ((status, _, text),) = sent(tmp_path, "/v1/completions", {"model": "student", "prompt": "a"} | fields)
    assert status == 400 and words in json.loads(text)["error"]["message"]
