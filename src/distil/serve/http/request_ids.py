"""Each request has an id: the client's own `x-request-id`, or a new one. It is in the reply's header, in errors, in the log."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from distil.serve.http.replies import ANTHROPIC

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_GIVEN = b"x-request-id"
_SAFE = re.compile(rb"[A-Za-z0-9._:-]{1,128}")


class RequestIds:
    """ASGI middleware. The id is in the scope, under `request_id`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes everything on, and adds the id to the headers of the reply."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == _GIVEN), b"")
        made = request_id(given)
        scope["request_id"] = made
        headers = [(_GIVEN, made.encode())]
        if scope["path"].startswith(ANTHROPIC):
            headers.append((b"request-id", made.encode()))  # where Anthropic's SDK looks

        async def with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *headers]
            await send(message)

        await self._app(scope, receive, with_id)


def request_id(given: bytes) -> str:
    """The client's id where it is one: up to 128 letters, digits and `._:-`; else a new one."""
    return given.decode() if _SAFE.fullmatch(given) else f"req_{os.urandom(16).hex()}"
