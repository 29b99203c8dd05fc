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

from distil.calls.config import Price, TeacherConfig
from distil.serve.gateway import Gateway
from distil.serve.http.app import make_app
from distil.serve.server import open_port
from tests.wire.openai import OpenAIServer, last_words

CHAT = "/v1/chat/completions"
_PROBABILITY = re.compile(r"p=(0?\.\d+|1)")


class StudentServer(OpenAIServer):
    """A self-hosted student: `p=0.7` in the question makes every token of its answer that probable."""

    def __init__(self, **options: Any) -> None:
        super().__init__(models=("student",), key=None, answer=lambda body: f"student: {last_words(body)}", **options)

    def complete(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        wanted = body.get("logprobs")
        status, reply = super().complete({k: v for k, v in body.items() if k != "logprobs"})
        if status == 200 and wanted and self.logprobs:
            choice = reply["choices"][0]
            match = _PROBABILITY.search(last_words(body))
            logprob = math.log(float(match.group(1))) if match else -0.01
            tokens = [
                {"token": w, "logprob": logprob, "bytes": None, "top_logprobs": []}
                for w in (choice["message"]["content"] or "").split()
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
    config = uvicorn.Config(make_app(gateway), log_level="error", access_log=False, lifespan="off")
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
