"""The transport under odd but real servers."""

from __future__ import annotations

import asyncio

from aiohttp import web

from distil.calls.http.transport import Transport
from tests.wire.server import Trouble, WireServer


class Echo(WireServer):
    """Answers what it was asked, with the path as it came."""

    def routes(self) -> list[web.RouteDef]:
        async def echo(request: web.Request) -> web.Response:
            return web.Response(text=request.raw_path)

        return [web.post("/{path:.*}", echo)]


def sent(url: str) -> tuple[int, bytes]:
    async def main() -> tuple[int, bytes]:
        transport = Transport()
        try:
            reply = await transport.post(url, {}, b"{}", 10.0)
        finally:
            await transport.close()
        return reply.status, reply.body

    return asyncio.run(main())


def test_a_header_of_twenty_kilobytes_loses_no_reply() -> None:
    """aiohttp's own limit is 8,190 bytes; security gateways send policies that are longer."""
    long = Trouble(200, b"paid for", headers={"Content-Security-Policy": "x" * 20_000})
    with Echo(troubles=[long]) as server:
        assert sent(f"{server.origin}/v1") == (200, b"paid for")


def test_a_path_is_sent_as_it_is_written() -> None:
    with Echo() as server:
        for path in ("/model/a%3A0/converse", "/model/a%2Fb", "/v1/chat/completions", "/x?api-version=2024-10-21"):
            assert sent(server.origin + path) == (200, path.encode())
