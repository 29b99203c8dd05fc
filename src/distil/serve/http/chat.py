"""POST /v1/chat/completions."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from distil.serve.gateway import Gateway
from distil.serve.http.endpoint import count_error, parsed, unless_gone
from distil.serve.http.event_stream import event_stream
from distil.serve.http.replies import as_json, as_stream, error_body
from distil.serve.parse import parse_request
from distil.serve.samples import answers, headers, replies
from distil.serve.streamed import Streamed
from distil.serve.streaming import finished_events, live_events
from distil.serve.wire import BadRequest, ChatRequest, completion, sse

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


async def answer_chat(gateway: Gateway, request: Request) -> Response:
    """Raises BadRequest and ClientDisconnect."""
    read = functools.partial(
        parse_request,
        served=gateway.name,
        temperature=gateway.temperature,
        max_tokens=gateway.max_tokens,
        caller=request.scope["caller"],
    )
    chat = await parsed(request, read)
    return await unless_gone(request, _answer(gateway, chat, request.scope["path"]))


async def _answer(gateway: Gateway, chat: ChatRequest, path: str) -> Response:
    if chat.stream and gateway.streams_live(chat):
        found = await gateway.stream(chat)
        if isinstance(found, Streamed):
            events = live_events(chat, found.pieces(), gateway.fingerprint)
            return event_stream(_or_error(gateway, chat, path, events), found.headers(), found.close)
        served = [found]
    else:
        served = await answers(gateway, chat)
    given = replies(chat, served)
    if chat.stream:
        whole = gateway.stream_mode == "off"
        return as_stream(finished_events(chat, given, gateway.fingerprint, whole=whole), headers=headers(served))
    return as_json(completion(chat, given, gateway.fingerprint), headers=headers(served))


async def _or_error(
    gateway: Gateway, chat: ChatRequest, path: str, events: AsyncIterator[bytes]
) -> AsyncIterator[bytes]:
    """The events, and where the answer breaks off an error event: the status line is sent by then."""
    try:
        async for event in events:
            yield event
    except BadRequest as error:
        count_error(gateway, error, chat.caller.request_id)
        # without [DONE]: a client sees that the stream broke
        yield sse(error_body(error, path=path, request_id=chat.caller.request_id))
