"""A reply of server-sent events: sent as they come, and ended with its source when the client leaves."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}
"""No proxy in between keeps events back."""


Close = Callable[[], Awaitable[None]]


def event_stream(events: AsyncIterator[bytes], headers: Mapping[str, str], close: Close | None = None) -> Response:
    """close: called when the reply has ended, however it ended."""
    return _maker()(events, HEADERS | dict(headers), close)


@functools.cache
def _maker() -> Callable[[AsyncIterator[bytes], Mapping[str, str], Close | None], Response]:
    from starlette.responses import StreamingResponse

    class EventStream(StreamingResponse):
        """Also ends what it was made of, where a client leaves before the first event."""

        def __init__(self, events: AsyncIterator[bytes], headers: Mapping[str, str], close: Close | None) -> None:
            super().__init__(events, media_type="text/event-stream", headers=headers)
            self._close = close

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await super().__call__(scope, receive, send)
            finally:
                if self._close is not None:
                    await self._close()

    return EventStream
