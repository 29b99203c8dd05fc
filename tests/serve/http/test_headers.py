"""Headers without an end are refused, and cost no memory."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from distil.runs.artifacts import Project
from distil.serve.config import ServeConfig
from distil.serve.stage import make_gateway
from tests.serve.running import StudentServer, running

PIECE = b"x-more: " + b"a" * 10_000 + b"\r\n"


def test_a_megabyte_of_headers_is_refused(tmp_path: Path) -> None:
    async def go() -> int:
        gateway = make_gateway(
            Project(tmp_path), ServeConfig(engine=f"{student.url}#student", fallback="off"), name="student"
        )
        async with running(gateway) as session:
            assert session._base_url is not None
            reader, writer = await asyncio.open_connection(session._base_url.host, session._base_url.port)
            writer.write(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n")
            sent = 0
            with suppress(ConnectionError):
                while sent < 100 and not reader.at_eof():
                    writer.write(PIECE)
                    await writer.drain()
                    await asyncio.sleep(0.001)
                    sent += 1
            writer.close()
            return sent

    with StudentServer() as student:
        assert asyncio.run(go()) < 100
