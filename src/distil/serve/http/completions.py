"""POST /v1/completions."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from distil.serve.apis.completions import completion_body, completion_events, live_completion_events, parse_completion
from distil.serve.gateway import Gateway
from distil.serve.http.endpoint import parsed, unless_gone
from distil.serve.http.live import live_reply
from distil.serve.http.replies import as_json, as_stream
from distil.serve.samples import answers_to_all, headers
from distil.serve.streamed import Streamed
from distil.serve.wire import ChatRequest

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


async def answer_completions(gateway: Gateway, request: Request) -> Response:
    """Raises BadRequest and ClientDisconnect."""
    read = functools.partial(parse_completion, defaults=gateway.defaults, caller=request.scope["caller"])
    chats = await parsed(request, read)
    return await unless_gone(gateway, request, _answer(gateway, request, chats))


async def _answer(gateway: Gateway, request: Request, chats: list[ChatRequest]) -> Response:
    if len(chats) == 1 and chats[0].stream and gateway.streams_live(chats[0]):
        found = await gateway.stream(chats[0])
        if isinstance(found, Streamed):
            events = live_completion_events(chats[0], found.pieces(), gateway.fingerprint)
            return live_reply(gateway, request, events, found)
        served = [found]
    else:
        served = await answers_to_all(gateway, chats)
    given = [one.reply for one in served]
    if chats[0].stream:
        return as_stream(completion_events(chats[0], given, gateway.fingerprint), headers=headers(served))
    return as_json(completion_body(chats[0], given, gateway.fingerprint), headers=headers(served))
