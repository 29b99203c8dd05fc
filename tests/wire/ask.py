"""Sends one request through a provider, once and without a client: what its translation does, and nothing else."""

from __future__ import annotations

import asyncio
import json

import aiohttp

from distil.calls.faults import Fault
from distil.calls.providers.base import HttpProvider, LimitHint, Parsed
from distil.calls.request import Request
from distil.records import Message


def exchange(provider: HttpProvider, request: Request) -> tuple[int, dict[str, str], bytes]:
    """(status, headers, body) of one POST."""

    async def send() -> tuple[int, dict[str, str], bytes]:
        wire = provider.wire(request)
        async with (
            aiohttp.ClientSession() as session,
            session.post(wire.url, data=json.dumps(wire.body).encode(), headers=wire.headers) as reply,
        ):
            return reply.status, dict(reply.headers), await reply.read()

    return asyncio.run(send())


def ask(provider: HttpProvider, request: Request) -> Parsed:
    """The parsed reply; an error status fails the test with the fault."""
    status, headers, body = exchange(provider, request)
    assert status == 200, provider.fault(status, headers, body)
    return provider.parse(status, headers, body)


def fault(provider: HttpProvider, request: Request) -> Fault:
    """The classified error."""
    status, headers, body = exchange(provider, request)
    return provider.fault(status, headers, body)


def limits(provider: HttpProvider, request: Request) -> LimitHint:
    """What the reply's headers say."""
    _, headers, _ = exchange(provider, request)
    return provider.limits(headers)


def question(text: str = "How many legs has a spider?", model: str = "openai/gpt-4o-mini", **fields: object) -> Request:
    """One user turn."""
    return Request.model_validate({"model": model, "messages": [Message(role="user", content=text)], **fields})
