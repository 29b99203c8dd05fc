"""What costs a gateway without asking it anything: silent connections, headers that never end, bodies of millions of values."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from distil.serve.http.app import make_app
from distil.serve.http.connections import protocol
from distil.serve.server import open_port
from tests.serve.running import CHAT, StudentServer, chat_body, running
from tests.serve.test_gateway import gateway_of


def test_silent_connections_are_closed_and_busy_ones_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distil.serve.http.connections.SILENT_S", 0.3)
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"

    async def closed_after(port: int, sent: bytes) -> tuple[float, bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        started = time.monotonic()
        got = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        return time.monotonic() - started, got

    async def go(student: StudentServer) -> None:
        gateway = gateway_of(tmp_path, student, fallback="off")
        await gateway.start()
        listener = open_port("127.0.0.1", 0)
        config = uvicorn.Config(make_app(gateway), http=protocol(), log_level="error", lifespan="off")
        server = uvicorn.Server(config)
        task = asyncio.create_task(server._serve(sockets=[listener]))
        while not server.started:
            await asyncio.sleep(0.005)
        port = listener.getsockname()[1]
        raw = json.dumps(chat_body("slow")).encode()
        asked = head + b"connection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(raw), raw)
        silent, half, busy = await asyncio.gather(
            closed_after(port, b""), closed_after(port, head), closed_after(port, asked)
        )
        assert silent[1] == b"" and silent[0] < 10 and half[0] < 10
        assert b" 200 OK" in busy[1] and b"student: slow" in busy[1], "waiting 1.2 s for an answer is not silence"
        server.should_exit = True
        await task
        listener.close()
        await gateway.stop()

    with StudentServer(delay_s=1.2) as student:
        asyncio.run(go(student))


@pytest.mark.parametrize(
    "fields",
    [{"x": [[]] * 50_001}, {"messages": [{"role": "user", "content": "x"}] * 10_001}],
    ids=["values", "messages"],
)
def test_bodies_of_millions_of_values_are_refused_unread(
    tmp_path: Path, fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distil.serve.http.endpoint.MOST_VALUES", 50_000)

    async def go(student: StudentServer) -> tuple[int, str]:
        body = chat_body("x") | fields
        async with (
            running(gateway_of(tmp_path, student, fallback="off")) as session,
            session.post(CHAT, json=body) as reply,
        ):
            return reply.status, await reply.text()

    with StudentServer() as student:
        status, told = asyncio.run(go(student))
        assert not student.answered
    assert status == 400 and "fits into no model's context" in told
