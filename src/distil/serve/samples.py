"""Several answers to one request (OpenAI's `n`): each goes through the gate for itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from distil.serve.gateway import Gateway
from distil.serve.served import Served
from distil.serve.wire import ChatReply, ChatRequest


async def answers(gateway: Gateway, request: ChatRequest) -> list[Served]:
    """As many as the request wants, in order. Raises BadRequest where one of them fails; the others are cancelled then."""
    return await answers_to_all(gateway, [request])


async def answers_to_all(gateway: Gateway, requests: Sequence[ChatRequest]) -> list[Served]:
    """The answers to several requests side by side, as many as each wants. Raises BadRequest, like `answers`."""
    each = [one for request in requests for one in _samples(request)]
    if len(each) == 1:
        return [await gateway.answer(each[0])]
    tasks = [asyncio.create_task(gateway.answer(one)) for one in each]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def replies(request: ChatRequest, served: Sequence[Served]) -> list[ChatReply]:
    """The answers for the client: with one call at most where it forbids parallel ones."""
    return [_one_call(one.reply) if not request.parallel_calls else one.reply for one in served]


def headers(served: Sequence[Served]) -> dict[str, str]:
    """Who answered and why: for several answers one value each, in order, where they differ."""
    if len(served) == 1:
        return served[0].headers()
    each = [one.headers() for one in served]
    names = [name for name in each[0] if all(name in one for one in each)]
    columns = {name: [one[name] for one in each] for name in names}
    return {name: ", ".join(values if len(set(values)) > 1 else values[:1]) for name, values in columns.items()}


def _samples(request: ChatRequest) -> list[ChatRequest]:
    """One request for each answer: with a seed of its own, or all would be the same."""
    if request.samples == 1:
        return [request]
    body = {name: value for name, value in request.body.items() if name != "n"}
    if request.sampling.seed is None:
        return [replace(request, body=body, sample=index) for index in range(request.samples)]
    seeds = [_wrapped(request.sampling.seed + index) for index in range(request.samples)]
    return [
        replace(request, body=body | {"seed": seed}, sampling=request.sampling.model_copy(update={"seed": seed}))
        for seed in seeds
    ]


def _wrapped(seed: int) -> int:
    """Into 64 bits."""
    return seed if seed < 1 << 63 else seed - (1 << 64)


def _one_call(reply: ChatReply) -> ChatReply:
    return replace(reply, tool_calls=reply.tool_calls[:1]) if reply.tool_calls else reply
