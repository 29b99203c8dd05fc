"""A gateway on a loopback port for the length of a block, a student's server whose confidence a test can set, and a teacher."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import uvicorn
from aiohttp import web

from distil.calls.config import Price, TeacherConfig
from distil.serve.gateway import Gateway
from distil.serve.http.app import make_app
from distil.serve.http.connections import protocol
from distil.serve.server import open_port
from distil.serve.wire import sse
from tests.wire.openai import OpenAIServer, last_words

CHAT = "/v1/chat/completions"
_THEN = re.compile(r"then=(0?\.\d+|1)")
_PROBABILITY = re.compile(r"p=(0?\.\d+|1)")


class StudentServer(OpenAIServer):
    """A self-hosted student: `p=0.7` in the question makes every token of its answer that probable."""

    def __init__(self, *, gap_s: float = 0.0, **options: Any) -> None:
        """gap_s: seconds between the tokens of a stream. `then=0.2` in the question: tokens after the third are that probable."""
        super().__init__(models=("student",), key=None, answer=lambda body: f"student: {last_words(body)}", **options)
        self.gap_s = gap_s
        self.streamed = 0
        """Tokens that were sent in streams."""

    async def refuse_or_complete(self, request: web.Request) -> web.StreamResponse:  # type: ignore[override]
        """A stream of one event for each word where it is asked for."""
        body = await request.json()
        if not body.get("stream"):
            return await super().refuse_or_complete(request)
        status, whole = self.complete(body)
        if status != 200:
            return web.json_response(whole, status=status)
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        choice = whole["choices"][0]
        tokens = (choice["logprobs"] or {}).get("content") or []
        for n, word in enumerate(choice["message"]["content"].split(" ")):
            told = {"content": [tokens[n]], "refusal": None} if n < len(tokens) else None
            delta = {"index": 0, "delta": {"content": word if n == 0 else f" {word}"}, "logprobs": told}
            await response.write(sse({"model": body["model"], "choices": [delta | {"finish_reason": None}]}))
            self.streamed += 1
            await asyncio.sleep(self.gap_s)
        ended = {"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}
        await response.write(sse({"choices": [ended]}) + sse({"choices": [], "usage": whole["usage"]}))
        await response.write(b"data: [DONE]\n\n")
        return response

    def complete(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        wanted = body.get("logprobs")
        status, reply = super().complete({k: v for k, v in body.items() if k != "logprobs"})
        if status == 200 and wanted and self.logprobs:
            choice = reply["choices"][0]
            match = _PROBABILITY.search(last_words(body))
            logprob = math.log(float(match.group(1))) if match else -0.01
            then = _THEN.search(last_words(body))
            later = math.log(float(then.group(1))) if then else logprob
            tokens = [
                {"token": w, "logprob": logprob if n < 3 else later, "bytes": None, "top_logprobs": []}
                for n, w in enumerate((choice["message"]["content"] or "").split())
            ]
            choice["logprobs"] = {"content": tokens, "refusal": None}
        return status, reply


def teacher_of(server: OpenAIServer) -> TeacherConfig:
    """The first model of a loopback server as a teacher at a price."""
    return TeacherConfig(model=f"{server.url}#{server.models[0]}", price=Price(input=1.0, output=2.0), attempts=2)


@asynccontextmanager
async def running(gateway: Gateway) -> AsyncIterator[aiohttp.ClientSession]:
    """Starts the gateway on a free port and yields a session whose paths start there."""
    listener = open_port("127.0.0.1", 0)
    await gateway.start()
    config = uvicorn.Config(make_app(gateway), log_level="error", access_log=False, lifespan="off", http=protocol())
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.005)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{listener.getsockname()[1]}") as session:
            yield session
    finally:
        server.should_exit = True
        await task
        listener.close()
        await gateway.stop()


def chat_body(text: str = "Where is my order 17?", **fields: Any) -> dict[str, Any]:
    """A chat request's body."""
    return {"model": "student", "messages": [{"role": "user", "content": text}], **fields}


def lines(path: Path) -> list[str]:
    """The lines of a file, or none when it is not there."""
    return path.read_text().splitlines() if path.exists() else []
