"""A teacher that fails, hangs or is full costs a request seconds at most; what can be answered is answered."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from distil.serve.deadline import HEADER
from distil.serve.gateway import Gateway
from tests.serve.running import CHAT, StudentServer, chat_body, running
from tests.serve.test_gateway import gateway_of, teacher_server
from tests.wire.openai import SERVER_ERROR, rate_limited
from tests.wire.server import HTML_PAGE, Trouble, hang

Reply = tuple[int, dict[str, str], Any]


async def ask(session: Any, text: str, **headers: str) -> Reply:
    async with session.post(CHAT, json=chat_body(text), headers=headers) as reply:
        return reply.status, {k.lower(): v for k, v in reply.headers.items()}, await reply.json()


@pytest.mark.parametrize("trouble", [SERVER_ERROR, rate_limited("30"), HTML_PAGE], ids=["500", "429", "html"])
def test_a_failing_teacher_costs_seconds_and_then_nothing(tmp_path: Path, trouble: Trouble) -> None:
    """Where it is allowed the student's answer is given."""

    async def go(gateway: Gateway) -> list[Reply]:
        async with running(gateway) as session:
            return [await ask(session, f"p=0.2 {n}") for n in range(8)]

    with StudentServer() as student, teacher_server() as teacher:
        teacher.trouble_for = lambda seen: trouble
        gateway = gateway_of(tmp_path, student, teacher, fallback="threshold", threshold=0.9, teacher_failure="student")
        started = time.monotonic()
        replies = asyncio.run(go(gateway))
        assert time.monotonic() - started < 20, "59 s for one request is what this is about"
        assert len(teacher.posts()) <= 8, "three requests of at most two tries, and a probe"
    assert {reply[0] for reply in replies} == {200}
    assert replies[-1][1]["x-distil-reason"] == "unsure_but_teacher_failed"


def test_one_deadline_holds_for_student_and_teacher(tmp_path: Path) -> None:
    async def go(gateway: Gateway) -> list[Reply]:
        async with running(gateway) as session:
            return [await ask(session, "p=0.2 x", **{HEADER: "0.4"})]

    for choice, status in (("error", 504), ("student", 200)):
        with StudentServer() as student, teacher_server(troubles=[hang(5)]) as teacher:
            options = {"fallback": "threshold", "threshold": 0.9, "teacher_failure": choice}
            gateway = gateway_of(tmp_path / choice, student, teacher, **options)
            started = time.monotonic()
            ((replied, headers, body),) = asyncio.run(go(gateway))
            assert time.monotonic() - started < 4 and replied == status, body
            assert status == 200 or (int(headers["retry-after"]) > 0 and "in time" in body["error"]["message"])
            assert not gateway.teacher.down, "a client that waits for an instant says nothing about the teacher"


def test_a_hanging_student_leaves_the_teacher_time(tmp_path: Path) -> None:
    async def go(gateway: Gateway) -> Reply:
        async with running(gateway) as session:
            return await ask(session, "p=0.9 x", **{HEADER: "2"})

    with StudentServer(troubles=[hang(9)]) as student, teacher_server() as teacher:
        status, headers, _ = asyncio.run(
            go(gateway_of(tmp_path, student, teacher, fallback="threshold", threshold=0.5))
        )
    assert (status, headers["x-distil-answered-by"]) == (200, "teacher")


@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan", ""])
def test_a_deadline_that_is_none_is_refused_by_name(tmp_path: Path, value: str) -> None:
    async def go(gateway: Gateway) -> Reply:
        async with running(gateway) as session:
            return await ask(session, "p=0.9 x", **{HEADER: value})

    with StudentServer() as student:
        status, _, body = asyncio.run(go(gateway_of(tmp_path, student, fallback="off")))
    assert status == 400 and HEADER in body["error"]["message"]


def test_a_full_teacher_is_a_429_with_the_time_to_wait(tmp_path: Path) -> None:
    async def go(gateway: Gateway) -> list[Reply]:
        async with running(gateway) as session:
            return await asyncio.gather(*(ask(session, f"p=0.2 {n}") for n in range(6)))

    with StudentServer() as student, teacher_server(delay_s=0.3) as teacher:
        options = {"fallback": "threshold", "threshold": 0.9, "teacher_concurrency": 2, "teacher_queue": 1}
        replies = asyncio.run(go(gateway_of(tmp_path, student, teacher, **options)))
        assert teacher.most_in_flight == 2
    assert sorted(reply[0] for reply in replies) == [200] * 3 + [429] * 3
    assert all(int(headers["retry-after"]) > 0 for status, headers, _ in replies if status == 429)


def test_what_the_ledger_knows_is_answered_while_it_fails(tmp_path: Path) -> None:
    async def go(gateway: Gateway, teacher: Any) -> list[Reply]:
        async with running(gateway) as session:
            first = await ask(session, "p=0.2 known")
            teacher.trouble_for = lambda seen: SERVER_ERROR
            failed = [await ask(session, f"p=0.2 {n}") for n in range(4)]
            return [first, await ask(session, "p=0.2 known"), failed[-1]]

    with StudentServer() as student, teacher_server() as teacher:
        gateway = gateway_of(tmp_path, student, teacher, fallback="threshold", threshold=0.9)
        first, again, failed = asyncio.run(go(gateway, teacher))
    assert (first[0], again[0], failed[0]) == (200, 200, 503) and int(failed[1]["retry-after"]) > 0
    assert again[2]["choices"] == first[2]["choices"]


def test_what_the_ledger_knows_needs_no_place(tmp_path: Path) -> None:
    async def go(gateway: Gateway) -> None:
        async with running(gateway) as session:
            assert (await ask(session, "p=0.2 known"))[0] == 200
            typical_s = gateway.teacher._places.typical_s  # type: ignore[union-attr]
            teacher.troubles.append(hang(30))
            waits = asyncio.create_task(ask(session, "p=0.2 slow"))
            while len(teacher.posts()) < 2:
                await asyncio.sleep(0.01)
            assert (await ask(session, "p=0.2 new"))[0] == 429
            assert (await ask(session, "p=0.2 known"))[0] == 200
            assert gateway.teacher._places.typical_s == typical_s > 0  # type: ignore[union-attr]
            waits.cancel()
            await asyncio.gather(waits, return_exceptions=True)

    with StudentServer() as student, teacher_server() as teacher:
        options = {"fallback": "threshold", "threshold": 0.9, "teacher_concurrency": 1, "teacher_queue": 0}
        asyncio.run(go(gateway_of(tmp_path, student, teacher, **options)))


def test_one_who_leaves_takes_no_answer_from_another(tmp_path: Path) -> None:
    """The same question twice at once is asked once; the second is still answered when the first has left."""

    async def go(gateway: Gateway) -> Reply:
        async with running(gateway) as session:
            first = asyncio.create_task(ask(session, "p=0.2 same"))
            await asyncio.sleep(0.25)
            second = asyncio.create_task(ask(session, "p=0.2 same"))
            await asyncio.sleep(0.25)
            first.cancel()
            return await second

    with StudentServer() as student, teacher_server(delay_s=0.8) as teacher:
        reply = asyncio.run(go(gateway_of(tmp_path, student, teacher, fallback="threshold", threshold=0.9)))
    assert reply[0] == 200 and reply[1]["x-distil-answered-by"] == "teacher"
