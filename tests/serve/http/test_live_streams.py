"""An answer that is being generated, in the events of each API: text, then a call in parts, or an end that is none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from distil.records import Usage
from distil.serve.engines.piece import Piece
from distil.serve.gateway import Gateway
from distil.serve.policy import Policy
from distil.serve.wire import ChatReply, ChatRequest
from tests.serve.running import running

PIECES = (
    Piece("Let me "),
    Piece("look."),
    Piece(tool_calls=[{"index": 0, "id": "t1", "type": "function", "function": {"name": "weather", "arguments": ""}}]),
    Piece(tool_calls=[{"index": 0, "function": {"arguments": '{"city": '}}]),
    Piece(tool_calls=[{"index": 0, "function": {"arguments": '"Rome"}'}}]),
    Piece(finish_reason="tool_calls", usage=Usage(input_tokens=7, output_tokens=9)),
)


class Engine:
    """Yields pieces as they are."""

    identity = "pieces"

    def __init__(self, pieces: tuple[Piece, ...]) -> None:
        self._pieces = pieces

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def ready(self) -> bool:
        return True

    def gauges(self) -> dict[str, float]:
        return {}

    async def answer(self, request: ChatRequest) -> ChatReply:
        raise AssertionError("a stream was asked for")

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Piece, None]:
        for piece in self._pieces:
            yield piece


def streamed(path: str, pieces: tuple[Piece, ...], body: dict[str, Any]) -> list[Any]:
    """The data of the events that a client gets."""

    async def go() -> str:
        gateway = Gateway("student", Engine(pieces), Policy("off"))
        async with (
            running(gateway) as session,
            session.post(path, json={"model": "student", "stream": True} | body) as reply,
        ):
            assert reply.status == 200 and reply.content_type == "text/event-stream"
            return await reply.text()

    data = [line.removeprefix("data: ") for line in asyncio.run(go()).splitlines() if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in data]


ASKED = {"max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}


def test_anthropics_events_come_as_the_answer_does() -> None:
    events = streamed("/v1/messages", PIECES, ASKED)
    kinds = [event["type"] for event in events]
    block = ["content_block_delta"] * 2 + ["content_block_stop"]
    assert kinds == [
        "message_start", "content_block_start", *block, "content_block_start", *block, "message_delta", "message_stop",
    ]  # fmt: skip
    assert [event["index"] for event in events if "index" in event] == [0] * 4 + [1] * 4
    called = "".join(
        event["delta"].get("partial_json", "") for event in events if event["type"] == "content_block_delta"
    )
    assert json.loads(called) == {"city": "Rome"}
    assert events[-2]["delta"]["stop_reason"] == "tool_use"
    assert (events[-2]["usage"]["input_tokens"], events[-2]["usage"]["output_tokens"]) == (7, 9)


def test_text_behind_a_call_has_a_block_of_its_own() -> None:
    events = streamed("/v1/messages", (PIECES[0], *PIECES[2:5], Piece("Done."), PIECES[5]), ASKED)
    begun = [
        (event["index"], event["content_block"]["type"]) for event in events if event["type"] == "content_block_start"
    ]
    assert begun == [(0, "text"), (1, "tool_use"), (2, "text")]
    texts = [event["index"] for event in events if event.get("delta", {}).get("type") == "text_delta"]
    assert texts == [0, 2]


def test_offsets_of_tokens_count_from_the_beginning() -> None:
    def piece(text: str, **more: Any) -> Piece:
        return Piece(text, logprobs=[{"token": text, "logprob": -0.1, "top_logprobs": []}], **more)

    body = {"prompt": "hi", "logprobs": 1}
    *events, done = streamed(
        "/v1/completions", (piece("Let "), piece("me "), piece("look", finish_reason="stop")), body
    )
    assert [event["choices"][0]["logprobs"]["text_offset"] for event in events] == [[0], [4], [7]] and done == "[DONE]"


def test_older_completions_come_as_the_answer_does() -> None:
    options = {"stream_options": {"include_usage": True}, "prompt": "hi"}
    *events, usage, done = streamed("/v1/completions", (*PIECES[:2], Piece(finish_reason="stop")), options)
    assert "".join(event["choices"][0]["text"] for event in events) == "Let me look." and len(events) == 3
    assert events[-1]["choices"][0]["finish_reason"] == "stop" and usage["choices"] == [] and done == "[DONE]"


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/completions", "/v1/chat/completions"])
def test_an_end_that_is_none_is_an_error_event(path: str) -> None:
    body = ASKED if path != "/v1/completions" else {"prompt": "hi"}
    last = streamed(path, PIECES[:2], body)[-1]
    assert last["error"]["message"] == "The student's answer ended early." and last["request_id"]
    assert (last.get("type") == "error") == (path == "/v1/messages")
