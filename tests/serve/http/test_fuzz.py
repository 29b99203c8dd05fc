"""Whatever is sent: no 5xx, an answer in the shape of the API, and everything goes on. 2,000 bodies: DISTIL_FUZZ=2000."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import aiohttp

from distil.serve.engines.base import make_engine
from distil.serve.gateway import Gateway
from distil.serve.policy import Policy
from tests.serve.http.fuzzing import BODIES, bodies
from tests.serve.running import CHAT, StudentServer, chat_body, running
from tests.serve.test_gateway import gateway_of, teacher_server

COUNT = int(os.environ.get("DISTIL_FUZZ", "240"))
AT_ONCE = 8


async def send_all(session: aiohttp.ClientSession, count: int) -> dict[int, int]:
    """Sends the bodies and returns how often each status came. Raises AssertionError for a 5xx and for what is not JSON."""
    statuses: dict[int, int] = {}
    todo = iter(bodies(count))

    async def work() -> None:
        for path, raw in todo:
            async with session.post(path, data=raw, headers={"content-type": "application/json"}) as reply:
                text = await reply.text()
                statuses[reply.status] = statuses.get(reply.status, 0) + 1
                assert reply.status < 500, (path, raw[:2000], text)
                if reply.content_type == "text/event-stream":
                    assert text.rstrip().endswith(("[DONE]", '{"type":"message_stop"}')), (
                        path,
                        raw[:2000],
                        text[-500:],
                    )
                else:
                    told = json.loads(text)
                    assert reply.status == 200 or ("error" in told and told["request_id"]), (path, raw[:2000], text)

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return statuses


async def metrics_of(session: aiohttp.ClientSession) -> list[str]:
    async with session.get("/metrics") as reply:
        return [line for line in (await reply.text()).splitlines() if not line.startswith("#")]


def test_no_body_is_an_error_of_an_engine_by_url(tmp_path: Path) -> None:
    async def go() -> None:
        async with running(gateway) as session:
            statuses = await send_all(session, COUNT)
            assert statuses[200] > COUNT / 20 and statuses[400] > COUNT / 4
            assert len(await metrics_of(session)) < 200  # a client makes no series of its own
            async with session.post(CHAT, json=chat_body("p=0.1 the last")) as reply:
                assert reply.status == 200
        assert gateway.capture is not None and gateway.capture.dropped == 0
        assert "the last" in gateway.capture.path.read_text().splitlines()[-1]

    with StudentServer() as student, teacher_server() as teacher:
        gateway = gateway_of(tmp_path, student, teacher, fallback="threshold", threshold=0.5)
        asyncio.run(go())


def test_no_body_is_an_error_of_a_model_in_process() -> None:
    async def go() -> None:
        gateway = Gateway(
            "student", make_engine("bundled/student", batch_size=16, queue=64), Policy("off"), max_tokens=4
        )
        async with running(gateway) as session:
            statuses = await send_all(session, COUNT if COUNT > 1_000 else 30)
            assert statuses[200] > 1
            async with session.post(CHAT, json=chat_body("the last", max_tokens=2)) as reply:
                assert reply.status == 200

    asyncio.run(go())


def test_the_bodies_are_valid_before_they_are_changed(tmp_path: Path) -> None:
    """Or most of them would be refused for the same fault."""

    async def go() -> list[Any]:
        found = []
        async with running(gateway) as session:
            for path, several in BODIES.items():
                for body in several:
                    async with session.post(path, json=body) as reply:
                        found.append((path, reply.status))
        return found

    with StudentServer() as student, teacher_server() as teacher:
        gateway = gateway_of(tmp_path, student, teacher, fallback="threshold", threshold=0.5)
        found = asyncio.run(go())
    assert all(status == 200 for path, status in found if not path.endswith("count_tokens")), found
