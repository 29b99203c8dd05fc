"""A request's id comes back in the header and in errors, and is the client's own where that can be one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from distil.runs.artifacts import Project
from distil.serve.config import ServeConfig
from distil.serve.http.request_ids import request_id
from distil.serve.stage import make_gateway
from tests.serve.running import CHAT, StudentServer, chat_body, running


@pytest.mark.parametrize("given", [b"", b"a b", b"x" * 129, b"a\r\nset-cookie: x", b"\xff", b"<script>"])
def test_what_is_no_id_is_replaced(given: bytes) -> None:
    made = request_id(given)
    assert made.startswith("req_") and made != request_id(given)


def test_ids_are_in_headers_and_in_errors(tmp_path: Path) -> None:
    async def go() -> None:
        section = ServeConfig(engine=f"{student.url}#student", fallback="off")
        async with running(make_gateway(Project(tmp_path), section, name="student")) as session:
            mine = {"x-request-id": "order-17"}
            async with session.post(CHAT, json=chat_body(), headers=mine) as reply:
                assert reply.status == 200 and reply.headers["x-request-id"] == "order-17"
            async with session.post(CHAT, json={}, headers=mine) as reply:
                assert (await reply.json())["request_id"] == reply.headers["x-request-id"] == "order-17"
            async with session.get("/nothing/here") as reply:
                assert (await reply.json())["request_id"] == reply.headers["x-request-id"]
            async with session.put(CHAT) as reply:
                assert reply.status == 405 and reply.headers["x-request-id"].startswith("req_")

    with StudentServer() as student:
        asyncio.run(go())
