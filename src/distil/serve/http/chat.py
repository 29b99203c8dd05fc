"""POST /v1/chat/completions."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from distil.serve.gateway import Gateway
from distil.serve.http.endpoint import count_error, parsed, unless_gone
from distil.serve.http.replies import as_json, as_stream, error_body
from distil.serve.parse import parse_request
from distil.serve.samples import answers, headers, replies
from distil.serve.streaming import finished_events
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
    if chat.stream and gateway.streams_through(chat):
        return await _through(gateway, chat, path)
    served = await answers(gateway, chat)
    given = replies(chat, served)
    if chat.stream:
        return as_stream(finished_events(chat, given, gateway.fingerprint), headers=headers(served))
    return as_json(completion(chat, given, gateway.fingerprint), headers=headers(served))


async def _through(gateway: Gateway, chat: ChatRequest, path: str) -> Response:
    """Passes a stream on. Awaits the first chunk before replying, so that a refusal still has its own HTTP status."""
    from starlette.responses import StreamingResponse

    chunks = gateway.stream(chat)
    first = await anext(chunks, b"")

    async def all_chunks() -> AsyncIterator[bytes]:
        yield first
        try:
            async for chunk in chunks:
                yield chunk
        except BadRequest as error:
            count_error(gateway, error, chat.caller.request_id)
            # the status line is already sent; without [DONE] a client sees that the stream broke
            yield sse(error_body(error, path=path, request_id=chat.caller.request_id))

    told = {"x-distil-answered-by": "student", "x-distil-reason": "fallback_off"}
    return StreamingResponse(all_chunks(), media_type="text/event-stream", headers=told)
