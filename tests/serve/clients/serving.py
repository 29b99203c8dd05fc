"""A gateway on a loopback port, on a thread of its own: for clients that block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from distil.serve.gateway import Gateway
from distil.serve.http.app import make_app
from distil.serve.server import open_port


@contextmanager
def serving(gateway: Gateway) -> Iterator[str]:
    """Yields `http://127.0.0.1:PORT`."""
    listener = open_port("127.0.0.1", 0)
    config = uvicorn.Config(make_app(gateway), log_level="error", access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    ready = threading.Event()

    async def run() -> None:
        await gateway.start()
        task = asyncio.create_task(server._serve(sockets=[listener]))
        while not server.started:
            await asyncio.sleep(0.005)
        ready.set()
        await task
        await gateway.stop()

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    if not ready.wait(180):
        raise AssertionError("the gateway did not start")
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()
