"""POST /v1/chat/completions."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from distil.serve.gateway import Gateway
from distil.serve.http.endpoint import parsed, unless_gone
from distil.serve.http.live import live_reply
from distil.serve.http.replies import as_json, as_stream
from distil.serve.parse import parse_request
from distil.serve.samples import answers, headers, replies
from distil.serve.streamed import Streamed
from distil.serve.streaming import finished_events, live_events
from distil.serve.wire import ChatRequest, completion

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


async def answer_chat(gateway: Gateway, request: Request) -> Response:
    """Raises BadRequest and ClientDisconnect."""
    read = functools.partial(parse_request, defaults=gateway.defaults, caller=request.scope["caller"])
    chat = await parsed(request, read)
    return await unless_gone(gateway, request, _answer(gateway, request, chat))


async def _answer(gateway: Gateway, request: Request, chat: ChatRequest) -> Response:
    if chat.stream and gateway.streams_live(chat):
        found = await gateway.stream(chat)
        if isinstance(found, Streamed):
            events = live_events(chat, found.pieces(), gateway.fingerprint)
            return live_reply(gateway, request, events, found)
        served = [found]
    else:
        served = await answers(gateway, chat)
    given = replies(chat, served)
    if chat.stream:
        whole = gateway.stream_mode == "off"
        return as_stream(finished_events(chat, given, gateway.fingerprint, whole=whole), headers=headers(served))
    return as_json(completion(chat, given, gateway.fingerprint), headers=headers(served))
