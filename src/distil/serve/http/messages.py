"""POST /v1/messages and /v1/messages/count_tokens."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from distil.serve.apis.messages import parse_messages
from distil.serve.apis.messages_reply import live_message_events, message_body, message_events
from distil.serve.engines.base import CountingEngine
from distil.serve.gateway import Gateway
from distil.serve.http.endpoint import parsed, unless_gone
from distil.serve.http.live import live_reply
from distil.serve.http.replies import as_json, as_stream
from distil.serve.samples import replies
from distil.serve.streamed import Streamed
from distil.serve.wire import BadRequest, ChatRequest

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


async def answer_messages(gateway: Gateway, request: Request) -> Response:
    """Raises BadRequest and ClientDisconnect."""
    chat = await parsed(request, _reader(gateway, request))
    return await unless_gone(gateway, request, _answer(gateway, request, chat))


async def _answer(gateway: Gateway, request: Request, chat: ChatRequest) -> Response:
    served = await (gateway.stream(chat) if chat.stream else gateway.answer(chat))
    if isinstance(served, Streamed):
        return live_reply(gateway, request, live_message_events(chat, served.pieces()), served)
    (reply,) = replies(chat, [served])
    if chat.stream:
        return as_stream(message_events(chat, reply), headers=served.headers())
    return as_json(message_body(chat, reply), headers=served.headers())


async def count_tokens(gateway: Gateway, request: Request) -> Response:
    """How many tokens the student's prompt has. Raises BadRequest where the student runs elsewhere."""
    chat = await parsed(request, _reader(gateway, request, count_only=True))
    if not (gateway.policy.uses_student and isinstance(gateway.student, CountingEngine)):
        raise BadRequest("Tokens can be counted only where the student runs in this process.", status=404)
    return as_json({"input_tokens": await gateway.student.count_tokens(chat)})


def _reader(gateway: Gateway, request: Request, *, count_only: bool = False) -> functools.partial[ChatRequest]:
    caller = request.scope["caller"]
    return functools.partial(parse_messages, defaults=gateway.defaults, caller=caller, count_only=count_only)
