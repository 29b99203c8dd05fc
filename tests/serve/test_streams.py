"""Streams: passed on while they are generated where that is allowed, decided on their beginning, and ended in order."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from distil.errors import UserError
from distil.runs.artifacts import Project
from distil.serve.calibration import calibrate
from distil.serve.config import ServeConfig
from distil.serve.gateway import Gateway
from distil.serve.served import Served
from distil.serve.stage import make_gateway
from tests.serve.calibration.test_calibrate import project_with
from tests.serve.running import CHAT, StudentServer, chat_body, running, teacher_of
from tests.serve.test_gateway import gateway_of, teacher_server

Events = list[dict[str, Any]]


async def stream(session: Any, text: str, **fields: Any) -> tuple[dict[str, str], Events, list[float]]:
    """(headers, events without `[DONE]`, when each write came). The last event of a stream without an error is `[DONE]`."""
    async with session.post(CHAT, json=chat_body(text, stream=True, **fields)) as reply:
        assert reply.status == 200, await reply.text()
        raw, times = b"", []
        async for part in reply.content.iter_any():
            raw += part
            times.append(time.monotonic())
    events = [event.removeprefix("data: ") for event in raw.decode().strip().split("\n\n")]
    if "error" not in events[-1]:
        assert events.pop() == "[DONE]"
    return dict(reply.headers), [json.loads(event) for event in events], times


def text_of(events: Events) -> str:
    return "".join(e["choices"][0]["delta"].get("content", "") for e in events if e.get("choices"))


def prefix_gateway(folder: Path, student: StudentServer, teacher: Any, **serve: Any) -> Gateway:
    """Calibrated on the first three tokens: the student is right from a confidence of 0.5 on."""
    project = project_with(folder)
    section = ServeConfig(engine=f"{student.url}#student", risk=0.1, stream="prefix", prefix_tokens=3, **serve)
    calibration = calibrate.run(project, section, name="student")
    assert calibration.prefix_tokens == 3 and calibration.threshold is not None
    return make_gateway(project, section, name="student", teachers=[teacher_of(teacher)])


def test_the_first_tokens_decide_and_the_rest_follows_live(tmp_path: Path) -> None:
    seen: list[Served] = []

    async def go(gateway: Gateway) -> list[tuple[dict[str, str], Events, list[float]]]:
        gateway.watchers.append(seen.append)
        async with running(gateway) as session:
            usage = {"stream_options": {"include_usage": True}}
            sure = await stream(session, "p=0.980 then=.1 question 1", **usage)
            unsure = await stream(session, "p=0.040 then=1 question 2")
            async with session.post(CHAT, json=chat_body("p=0.980 then=.1 question 3")) as plain:
                assert plain.headers["x-distil-answered-by"] == "student", plain.headers["x-distil-reason"]
            assert gateway.metrics.in_flight._value.get() == 0
            return [sure, unsure]

    with StudentServer() as student, teacher_server() as teacher:
        gateway = prefix_gateway(tmp_path, student, teacher)
        student.gap_s, student.streamed = 0.15, 0
        sure, unsure = asyncio.run(go(gateway))
        assert student.streamed < 12, "a stream that is not used is ended"
    headers, events, times = sure
    assert headers["x-distil-answered-by"] == "student" and headers["x-distil-confidence"] == "0.9800"
    assert text_of(events) == "student: p=0.980 then=.1 question 1" and events[-1]["usage"]["completion_tokens"] > 0
    assert len(times) > 2 and times[-1] - times[0] > 0.2, "the rest comes as it is generated"
    assert unsure[0]["x-distil-answered-by"] == "teacher" and text_of(unsure[1]) == "the teacher's answer"
    assert [(s.decision.by, s.reply.text) for s in seen][:2] == [
        ("student", "student: p=0.980 then=.1 question 1"),
        ("teacher", "the teacher's answer"),
    ]


def test_a_prefix_needs_a_threshold_that_was_found_for_it(tmp_path: Path) -> None:
    with StudentServer() as student, teacher_server() as teacher:
        prefix_gateway(tmp_path, student, teacher)
        section = ServeConfig(engine=f"{student.url}#student", risk=0.1)
        given = {"name": "student", "teachers": [teacher_of(teacher)]}
        cases = [
            (section, "found on the first 3 tokens .* decide on whole answers"),
            (
                section.model_copy(update={"stream": "prefix", "prefix_tokens": 4}),
                "first 3 tokens .* the first 4 tokens",
            ),
            (
                section.model_copy(update={"stream": "prefix", "fallback": "threshold", "threshold": 0.5}),
                "serve.stream=prefix",
            ),
        ]
        for tried, message in cases:
            with pytest.raises(UserError, match=message):
                make_gateway(Project(tmp_path), tried, **given)


@pytest.mark.parametrize(("mode", "pieces"), [("off", 1), ("buffer", 4)])
def test_a_finished_answer_is_cut_or_whole(tmp_path: Path, mode: str, pieces: int) -> None:
    async def go(gateway: Gateway) -> Events:
        async with running(gateway) as session:
            return (await stream(session, "p=0.9 " + "word " * 24))[1]

    with StudentServer() as student, teacher_server() as teacher:
        options = {"fallback": "threshold", "threshold": 0.5, "stream": mode}
        events = asyncio.run(go(gateway_of(tmp_path, student, teacher, **options)))
    assert sum("content" in e["choices"][0]["delta"] for e in events) == 1 + pieces
    assert text_of(events).startswith("student: p=0.9 word")


def test_a_silent_stream_ends_in_an_error(tmp_path: Path) -> None:
    async def go(gateway: Gateway) -> Events:
        gateway.idle_s = 0.3
        async with running(gateway) as session:
            return (await stream(session, "one two three"))[1]

    with StudentServer(gap_s=1.5) as student:
        events = asyncio.run(go(gateway_of(tmp_path, student, fallback="off")))
    assert text_of(events).startswith("student:") and "silent" in events[-1]["error"]["message"]


def test_a_stream_ends_at_the_server_when_its_client_leaves(tmp_path: Path) -> None:
    async def go(gateway: Gateway, student: StudentServer) -> None:
        async with running(gateway) as session:
            async with session.post(CHAT, json=chat_body("word " * 60, stream=True)) as reply:
                await reply.content.readany()
            for _ in range(40):
                await asyncio.sleep(0.05)
                if not student.in_flight:
                    break
            assert not student.in_flight and gateway.metrics.in_flight._value.get() == 0

    with StudentServer(gap_s=0.1) as student:
        asyncio.run(go(gateway_of(tmp_path, student, fallback="off"), student))
        assert student.streamed < 40
