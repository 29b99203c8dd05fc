"""Connections on which nothing comes are closed, and there may be as many as the system allows: nobody can use them up."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol

SILENT_S = 20.0
"""How long a connection may take to bring the headers of a request."""
MOST_FILES = 1 << 16


def protocol() -> type[H11Protocol]:
    """The class of the server's connections.

    h11, because it refuses more than 64 KiB of headers; httptools, which uvicorn takes where it is installed, reads any number.
    """
    from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

    class Connection(H11Protocol):
        """Looks every SILENT_S seconds whether a request has begun since."""

        _timer: asyncio.TimerHandle
        _seen: RequestResponseCycle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._timer = self.loop.call_later(SILENT_S, self._look)

        def connection_lost(self, exc: Exception | None) -> None:
            self._timer.cancel()
            super().connection_lost(exc)

        def _look(self) -> None:
            running = self.cycle is not None and not self.cycle.response_complete
            if not running and self.cycle is self._seen:
                self.transport.close()
                return
            self._seen = self.cycle
            self._timer = self.loop.call_later(SILENT_S, self._look)

    return Connection


def allow_many() -> None:
    """As many open files as the system allows this user: a connection is one, and shells often allow 1,024."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # Windows has no such limit
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
