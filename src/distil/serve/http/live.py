"""A reply whose answer is still being generated, in the events of any API; one that breaks off ends in an error event."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from distil.serve.apis.messages_reply import event
from distil.serve.gateway import Gateway
from distil.serve.http.endpoint import count_error
from distil.serve.http.event_stream import event_stream
from distil.serve.http.replies import ANTHROPIC, error_body
from distil.serve.streamed import Streamed
from distil.serve.wire import BadRequest, sse

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


def live_reply(gateway: Gateway, request: Request, events: AsyncIterator[bytes], answer: Streamed) -> Response:
    """The events of `answer`, which ends with the reply, however that ends."""
    return event_stream(_or_error(gateway, request, events), answer.headers(), answer.close)


async def _or_error(gateway: Gateway, request: Request, events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The status line is sent by the time at which an answer breaks off. Without the last event a client sees that it broke."""
    path, name = request.scope["path"], request.scope["request_id"]
    try:
        async for one in events:
            yield one
    except BadRequest as error:
        count_error(gateway, error, name)
        told = error_body(error, path=path, request_id=name)
        yield event("error", told) if path.startswith(ANTHROPIC) else sse(told)
