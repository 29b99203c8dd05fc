"""A teacher behind the loopback OpenAI, a question to it, and a client around a piece of work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

from distil.calls.client import Client
from distil.calls.config import Price, TeacherConfig
from distil.calls.request import Request
from distil.records import Message, Sampling
from tests.wire import openai as wire

MODEL = "openai/gpt-4o-mini"


def teacher(server: wire.OpenAIServer, **fields: Any) -> TeacherConfig:
    return TeacherConfig.model_validate(
        {"model": MODEL, "base_urls": [server.url], "price": Price(input=1, output=2), **fields}
    )


def ask(text: str = "hello", **fields: Any) -> Request:
    sampling = fields.pop("sampling", Sampling(max_tokens=50))
    return Request(model=MODEL, messages=[Message(role="user", content=text)], sampling=sampling, **fields)


def with_client(
    path: Path, teachers: list[TeacherConfig], work: Callable[[Client], Awaitable[Any]], **options: Any
) -> Any:
    async def main() -> Any:
        async with Client(path / "ledger.sqlite", teachers, **options) as client:
            return await work(client)

    return asyncio.run(main())


async def all_of(client: Client, requests: Iterable[Request]) -> list[tuple[Request, Any]]:
    return [pair async for pair in client.map((request, request) for request in requests)]
