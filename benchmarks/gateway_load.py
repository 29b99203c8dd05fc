"""The clients of gateway.py: a bare HTTP/1.1 client that costs little, at a fixed rate or as fast as it goes."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_numbers = itertools.count()
GIVE_UP_S = 60.0


@dataclass
class Seen:
    """What the clients of one measurement saw."""

    seconds: list[float] = field(default_factory=list)
    """From sending a request to the last byte of its reply, where that was a 200."""
    failed: int = 0
    """Replies that were not, and connections that broke."""
    lasted: float = 0.0
    """Seconds of the whole measurement."""


class Client:
    """Makes requests to one server."""

    def __init__(self, url: str, *, key: str = "", prompt: str = "short", stream: bool = False) -> None:
        parts = urlsplit(url)
        assert parts.hostname and parts.port
        self.host, self.port = parts.hostname, parts.port
        self.prompt, self.stream = prompt, stream
        self._head = (
            f"POST {parts.path.rstrip('/')}/chat/completions HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            "Content-Type: application/json\r\n" + (f"Authorization: Bearer {key}\r\n" if key else "")
        ).encode()

    def request(self) -> bytes:
        """A request with a question that nobody has asked before."""
        content = f"{self.prompt} question number {next(_numbers):09d}: where is my parcel?"
        body: dict[str, object] = {"model": "student", "messages": [{"role": "user", "content": content}]}
        if self.stream:
            body["stream"] = True
        raw = json.dumps(body).encode()
        return self._head + b"Content-Length: %d\r\n\r\n" % len(raw) + raw

    async def connect(self) -> Connection:
        """A new connection."""
        return Connection(*await asyncio.open_connection(self.host, self.port, limit=1 << 20))


@dataclass
class Connection:
    """One keep-alive connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, request: bytes, *, leave_early: bool = False) -> bool:
        """Whether the reply is a whole 200. leave_early: closes the connection after the first bytes."""
        self.writer.write(request)
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        if leave_early:
            self.close()
            return True
        at = head.find(b"content-length:")
        if at >= 0:
            await self.reader.readexactly(int(head[at + 15 :].split(b"\r\n", 1)[0]))
            return head.startswith(b"http/1.1 200")
        done = False
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            done = b"data: [DONE]" in await self.reader.readexactly(size + 2) or done
        await self.reader.readexactly(2)
        return done and head.startswith(b"http/1.1 200")

    def close(self) -> None:
        """Closes it without waiting."""
        self.writer.close()


async def saturate(client: Client, connections: int, seconds: float) -> Seen:
    """Each connection asks again as soon as it has its answer."""
    seen, end = Seen(), time.monotonic() + seconds

    async def one() -> None:
        connection = await client.connect()
        while time.monotonic() < end:
            await _timed(seen, connection, client)
        connection.close()

    started = time.monotonic()
    await asyncio.gather(*(one() for _ in range(connections)))
    seen.lasted = time.monotonic() - started
    return seen


async def steady(client: Client, rate: float, seconds: float) -> Seen:
    """Requests at fixed times, whether or not earlier ones are answered; each is timed from when it is sent."""
    seen, idle, running = Seen(), [await client.connect() for _ in range(8)], set()
    started = time.monotonic()

    async def one() -> None:
        connection = idle.pop() if idle else await client.connect()
        await _timed(seen, connection, client)
        idle.append(connection)

    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, started + number / rate - time.monotonic()))
        task = asyncio.create_task(one())
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)
    seen.lasted = time.monotonic() - started
    for connection in idle:
        connection.close()
    return seen


async def _timed(seen: Seen, connection: Connection, client: Client) -> None:
    sent = time.monotonic()
    try:
        async with asyncio.timeout(GIVE_UP_S):
            whole = await connection.ask(client.request())
    except (OSError, EOFError, TimeoutError, ValueError):
        whole = False
        fresh = await client.connect()
        connection.reader, connection.writer = fresh.reader, fresh.writer
    if whole:
        seen.seconds.append(time.monotonic() - sent)
    else:
        seen.failed += 1
