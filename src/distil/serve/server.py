"""Runs a gateway's app on a port until a signal stops it."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
from collections.abc import Callable
from types import FrameType

from distil import loops
from distil.errors import UserError
from distil.progress import say
from distil.serve.foreign import is_loopback
from distil.serve.gateway import Gateway
from distil.serve.http.app import make_app
from distil.serve.http.connections import allow_many, protocol

GRACE_S = 25.0
"""How long running requests may take after the signal to stop; Kubernetes kills after 30 s."""
CLOSING_S = 3.0
"""So long before its end, those that are not answered hear that they should try again."""
STOP_S = 10.0
"""What engine, teacher and files may take after that."""
AT_ONCE_S = 2.0
"""The same after a second signal."""


def serve(gateway: Gateway, *, host: str, port: int, on_ready: Callable[[str], None] | None = None) -> None:
    """Blocks until SIGINT or SIGTERM, then finishes the running requests and returns.

    Once requests can be answered, calls `on_ready` with `http://HOST:PORT/v1#NAME`, or prints `ready URL` to stdout without one.
    Raises UserError when the port is taken or the model can't be loaded.
    """
    if not is_loopback(host) and not gateway.keys.required:
        raise UserError(
            f"serve.host is {host}, where others can reach the gateway and spend the teacher's money, and it has no API key. "
            "Make one: distil serve --new-key NAME. Or listen on this machine alone: --set serve.host=127.0.0.1"
        )
    listener, last_resort = open_port(host, port), LastResort()
    try:
        loops.run(_serve(gateway, listener, on_ready, last_resort))
    finally:
        last_resort.cancel()
        listener.close()


def open_port(host: str, port: int) -> socket.socket:
    """A bound socket. Raises UserError when the address can't be used."""
    listener = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        if listener is not None:
            listener.close()
        raise UserError(
            f"Can't listen on {host}:{port} ({error.strerror or error}). Another program may be using the port; choose "
            "another with --set serve.port=8001 (0 = any free port)."
        ) from None
    return listener


class LastResort:
    """Ends the process when a signal's drain does not: somebody's thread or file system may hang."""

    def __init__(self) -> None:
        self._timer: threading.Timer | None = None

    def ends_within(self, seconds: float) -> None:
        """From now on; replaces an earlier time."""
        self.cancel()
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._timer.start()

    def cancel(self) -> None:
        """The end came by itself."""
        if self._timer is not None:
            self._timer.cancel()

    def _end(self) -> None:
        say("distil serve: what still runs does not end; the process is ended. Every answer that was given is kept.")
        os._exit(1)


async def _serve(
    gateway: Gateway, listener: socket.socket, on_ready: Callable[[str], None] | None, last_resort: LastResort
) -> None:
    import uvicorn

    loop = asyncio.get_running_loop()

    class Server(uvicorn.Server):
        """Ends quietly on a signal: uvicorn's own would raise it again after the shutdown."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            self.force_exit = self.should_exit
            self.should_exit = True
            last_resort.ends_within(AT_ONCE_S if self.force_exit else GRACE_S + STOP_S)
            wait_s = 0.0 if self.force_exit else GRACE_S - CLOSING_S
            loop.call_soon_threadsafe(loop.call_later, wait_s, gateway.close)

    allow_many()
    await gateway.start()
    gateway.host = str(listener.getsockname()[0])
    try:
        config = uvicorn.Config(
            make_app(gateway),
            http=protocol(),
            ws="none",
            log_level="warning",
            access_log=False,
            lifespan="off",
            backlog=2048,
            timeout_graceful_shutdown=int(GRACE_S),
        )
        server = Server(config)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started and not running.done():
            await asyncio.sleep(0.01)
        if server.started:
            host, port = listener.getsockname()[:2]
            url = f"http://{f'[{host}]' if ':' in host else host}:{port}/v1#{gateway.name}"
            if on_ready is not None:
                on_ready(url)
            else:
                sys.stdout.write(f"ready {url}\n")
                sys.stdout.flush()
        await running
    finally:
        await gateway.stop()
