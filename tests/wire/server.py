"""The machinery of a loopback server: a thread, a record of what was asked, and troubles to throw in. No wire format here."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    raw: bytes
    time: float

    @property
    def body(self) -> Any:
        """The JSON body; None when it is not JSON."""
        try:
            return json.loads(self.raw)
        except ValueError:
            return None


@dataclass(frozen=True)
class Trouble:
    """What to do instead of answering."""

    status: int = 200
    body: Any = None
    """bytes are sent as they are, anything else as JSON."""
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    """Wait before answering; large = a hang."""
    cut: bool = False
    """Send half of the body, then close the connection."""
    after: bool = False
    """Do the work first (a paid answer is made), then send this instead: a reply that gets lost."""


class WireServer:
    """Runs on a free port of 127.0.0.1 for the length of a `with` block. Subclasses add routes."""

    def __init__(self, *, delay_s: float = 0.0, troubles: Iterable[Trouble | None] = ()) -> None:
        self.delay_s = delay_s
        self.troubles: deque[Trouble | None] = deque(troubles)
        """Taken by the coming POSTs in order; None = answer properly."""
        self.trouble_for: Callable[[Seen], Trouble | None] | None = None
        """Asked for every request when `troubles` is empty."""
        self.reply_headers: dict[str, str] = {}
        """Sent with every answer."""
        self.seen: list[Seen] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def routes(self) -> list[web.RouteDef]:
        """What this server answers."""
        raise AssertionError("a subclass says what it answers")

    def refused(self, request: web.Request) -> web.Response | None:
        """The refusal of a request without the right headers; None: it is let in."""
        return None

    def complete(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """(status, body) that the real API answers a request body with."""
        raise AssertionError("a subclass says what it answers")

    async def refuse_or_complete(self, request: web.Request) -> web.Response:
        """The handler of the one route that is paid for."""
        refused = self.refused(request)
        if refused is not None:
            return refused
        status, reply = self.complete(await request.json())
        return web.json_response(reply, status=status, headers=self.reply_headers)

    @property
    def origin(self) -> str:
        """http://127.0.0.1:PORT"""
        return f"http://127.0.0.1:{self.port}"

    def posts(self, ending: str = "") -> list[Seen]:
        """The POSTs so far whose path ends so."""
        return [seen for seen in self.seen if seen.method == "POST" and seen.path.endswith(ending)]

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10), "the loopback server did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._main())
        self._loop.close()

    async def _main(self) -> None:
        app = web.Application(middlewares=[self._middleware], client_max_size=512 << 20)
        app.add_routes(self.routes())
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port)
        await site.start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Any) -> web.StreamResponse:
        raw = b"" if request.content_type.startswith("multipart/") else await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        seen = Seen(request.method, request.path, headers, raw, time.monotonic())
        self.seen.append(seen)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            trouble = self._next_trouble(seen)
            if trouble is None or trouble.after:
                response = await handler(request)
            if trouble is not None:
                response = await self._make(request, trouble)
            return response
        finally:
            self.in_flight -= 1

    def _next_trouble(self, seen: Seen) -> Trouble | None:
        if self.troubles and seen.method == "POST":
            return self.troubles.popleft()
        return self.trouble_for(seen) if self.trouble_for else None

    async def _make(self, request: web.Request, trouble: Trouble) -> web.StreamResponse:
        if trouble.delay_s:
            await asyncio.sleep(trouble.delay_s)
        raw = trouble.body if isinstance(trouble.body, bytes) else json.dumps(trouble.body or {}).encode()
        if trouble.cut:
            response = web.StreamResponse(status=trouble.status, headers=trouble.headers)
            response.content_length = len(raw) + 100
            await response.prepare(request)
            await response.write(raw[: len(raw) // 2])
            if request.transport is not None:
                request.transport.close()
            return response
        kind = "text/html" if isinstance(trouble.body, bytes) else "application/json"
        return web.Response(status=trouble.status, body=raw, headers={"Content-Type": kind, **trouble.headers})


HTML_PAGE = Trouble(200, b"<html><body>502 Bad Gateway</body></html>")
CUT = Trouble(
    200, b'{"id": "chatcmpl-1", "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hal', cut=True
)


def hang(seconds: float = 60.0) -> Trouble:
    """No answer for so long."""
    return Trouble(504, b"upstream timeout", delay_s=seconds)


def rough_tokens(text: str) -> int:
    """About what a tokenizer would count."""
    return max(1, len(text) // 4)
