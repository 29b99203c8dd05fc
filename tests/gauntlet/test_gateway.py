"""Public reports of gateways: a reply that is sent back, a stream that breaks off, tool calls on their way through."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from distil.runs.artifacts import Project
from distil.serve.config import ServeConfig
from distil.serve.gateway import Gateway
from distil.serve.stage import make_gateway
from tests.serve.running import CHAT, StudentServer, chat_body, running, teacher_of
from tests.wire.openai import OpenAIServer
from tests.wire.server import Trouble

TOOLS = [{"type": "function", "function": {"name": "find_order", "parameters": {"type": "object"}}}]
CALL = {"id": "call_7", "type": "function", "function": {"name": "find_order", "arguments": '{"order": 17}'}}
ASKS = {"role": "assistant", "content": None, "tool_calls": [CALL], "refusal": None, "annotations": []}


def gateway_of(folder: Path, student: OpenAIServer, teacher: OpenAIServer | None = None, **serve: Any) -> Gateway:
    section = ServeConfig(engine=f"{student.url}#student", **serve)
    teachers = [teacher_of(teacher)] if teacher is not None else []
    return make_gateway(Project(folder), section, name="student", teachers=teachers)


async def post(session: aiohttp.ClientSession, body: dict[str, Any]) -> tuple[int, Any]:
    async with session.post(CHAT, json=body) as reply:
        return reply.status, await reply.json()


@pytest.mark.parametrize("calls", [False, True])
@pytest.mark.parametrize("fallback", ["off", "always"])
def test_its_own_reply_can_be_sent_back(fallback: str, calls: bool, tmp_path: Path) -> None:
    """public-bugs 13: codex-lb #2037 (the gateway's own reply, appended to messages, was a 400)."""
    with StudentServer() as student, OpenAIServer(key=None) as teacher:
        if calls:
            student.answer = teacher.answer = lambda body: dict(ASKS)
        gateway = gateway_of(tmp_path, student, teacher if fallback != "off" else None, fallback=fallback)

        async def go() -> None:
            async with running(gateway) as session:
                body = chat_body(tools=TOOLS) if calls else chat_body()
                for _ in range(3):
                    status, reply = await post(session, body)
                    assert status == 200, reply
                    message = reply["choices"][0]["message"]
                    answered = {"role": "tool", "tool_call_id": "call_7", "content": "sent"}
                    follow = answered if calls else {"role": "user", "content": "And now?"}
                    body = body | {"messages": [*body["messages"], message, follow]}

        asyncio.run(go())


def test_tool_calls_of_the_engine_are_served(tmp_path: Path) -> None:
    with StudentServer() as student:
        student.answer = lambda body: dict(ASKS)

        async def go() -> Any:
            async with running(gateway_of(tmp_path, student, fallback="off")) as session:
                return await post(session, chat_body(tools=TOOLS, tool_choice="required", parallel_tool_calls=False))

        status, reply = asyncio.run(go())
        asked = json.loads(student.posts()[-1].raw)
    choice = reply["choices"][0]
    assert status == 200 and choice["message"]["tool_calls"] == [CALL] and choice["message"]["content"] is None
    assert choice["finish_reason"] == "tool_calls"
    assert (asked["tools"], asked["tool_choice"], asked["parallel_tool_calls"]) == (TOOLS, "required", False)


def test_tool_calls_are_streamed(tmp_path: Path) -> None:
    """From the teacher too, in chunks that OpenAI's own client puts together."""
    with StudentServer() as student, OpenAIServer(key=None) as teacher:
        teacher.answer = lambda body: dict(ASKS)
        gateway = gateway_of(tmp_path, student, teacher, fallback="always")

        async def go() -> list[Any]:
            async with (
                running(gateway) as session,
                session.post(CHAT, json=chat_body(tools=TOOLS, stream=True)) as reply,
            ):
                lines = [line.strip().removeprefix(b"data: ") async for line in reply.content if line.strip()]
                assert lines[-1] == b"[DONE]"
                return [json.loads(line) for line in lines[:-1]]

        chunks = asyncio.run(go())
        asked = json.loads(teacher.posts()[-1].raw)
    deltas = [chunk["choices"][0] for chunk in chunks if chunk["choices"]]
    calls = [call for delta in deltas for call in delta["delta"].get("tool_calls") or []]
    assert calls == [{"index": 0} | CALL] and deltas[-1]["finish_reason"] == "tool_calls"
    assert asked["tools"] == TOOLS


@pytest.mark.parametrize("choice", ["sometimes", 7, ["find_order"]])
def test_an_unknown_tool_choice_is_named(choice: Any, tmp_path: Path) -> None:
    with StudentServer() as student:

        async def go() -> Any:
            async with running(gateway_of(tmp_path, student, fallback="off")) as session:
                return await post(session, chat_body(tools=TOOLS, tool_choice=choice))

        status, reply = asyncio.run(go())
    assert status == 400 and reply["error"]["param"] == "tool_choice"


class Breaking(StudentServer):
    """Its stream ends after a few words, without a finish reason and without [DONE]."""

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/v1/chat/completions", self._break), *super().routes()[1:]]

    async def _break(self, request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await reply.prepare(request)
        for word in ("Your", " order"):
            chunk = {"choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]}
            await reply.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        await reply.write_eof()
        return reply


def test_a_stream_that_breaks_off_is_an_error(tmp_path: Path) -> None:
    """public-bugs 28: any-llm #847 (the engine's stream ends without finish and [DONE]: it looked like a clean end)."""
    with Breaking() as student:

        async def go() -> bytes:
            async with (
                running(gateway_of(tmp_path, student, fallback="off")) as session,
                session.post(CHAT, json=chat_body(stream=True)) as reply,
            ):
                return await reply.read()

        raw = asyncio.run(go())
    events = [json.loads(line[6:]) for line in raw.splitlines() if line.startswith(b"data: {")]
    assert "error" in events[-1] and b"[DONE]" not in raw


def test_an_engine_that_answers_with_an_error_is_one(tmp_path: Path) -> None:
    with StudentServer() as student:
        student.trouble_for = lambda seen: Trouble(200, {"error": {"message": "out of memory", "code": 500}})

        async def go() -> Any:
            async with running(gateway_of(tmp_path, student, fallback="off")) as session:
                return await post(session, chat_body())

        status, _ = asyncio.run(go())
    assert status >= 500
