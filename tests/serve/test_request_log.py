"""The log of requests: a line for each, as text or JSON, without contents and without anything that a terminal obeys."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import threading
from pathlib import Path

import pytest

from distil.config import load_config
from distil.records import Message, Sampling, Usage
from distil.runs.artifacts import Project
from distil.serve import request_log
from distil.serve.config import ServeConfig
from distil.serve.policy import Decision
from distil.serve.request_log import RequestLog, form_of
from distil.serve.served import Served
from distil.serve.stage import make_gateway
from distil.serve.wire import Caller, ChatReply, ChatRequest
from tests.serve.running import CHAT, StudentServer, chat_body, running


def served(name: str = "req_1", key: str | None = None, usd: float = 0.00125) -> Served:
    request = ChatRequest(
        "student", [Message(role="user", content="SECRET QUESTION")], Sampling(), caller=Caller(name, key)
    )
    teacher = ChatReply("SECRET ANSWER", "stop", Usage(input_tokens=12, output_tokens=34), usd=usd)
    return Served(request, Decision("teacher", "unsure"), 0.31234, None, teacher, 0.5, at=1_700_000_000.25)


def written(log: RequestLog, out: io.StringIO) -> list[str]:
    log.stop()
    return out.getvalue().splitlines()


def test_a_line_says_who_why_and_for_how_much() -> None:
    out = io.StringIO()
    log = RequestLog("text", out)
    log(served())
    log.refuse("req_2", 400, "model_not_found")
    line, refused = written(log, out)
    assert line[8:] == " req_1 teacher unsure 0.3123, 500.0 ms, 12+34 tokens, $0.0013"
    assert refused[8:] == " req_2 refused 400 model_not_found"
    assert "SECRET" not in out.getvalue()


def test_the_line_as_json() -> None:
    out = io.StringIO()
    log = RequestLog("json", out)
    log(served(key="app"))
    (line,) = written(log, out)
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.250Z",
        "id": "req_1",
        "by": "teacher",
        "reason": "unsure",
        "confidence": 0.3123,
        "ms": 500.0,
        "input_tokens": 12,
        "output_tokens": 34,
        "usd": 0.00125,
        "stream": False,
        "key": "app",
    }


def test_nothing_that_a_client_names_starts_a_line_or_obeys() -> None:
    out = io.StringIO()
    log = RequestLog("text", out)
    log(served("a\n12:00:00 req_9 student confident\x1b[2J\u202e" + "x" * 1000))
    (line,) = written(log, out)
    assert line.isascii() and line.isprintable() and len(line) < 250


def test_a_reader_that_stands_still_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_log, "WAITING", 100)
    going = threading.Event()

    class Still(io.StringIO):
        def write(self, text: str) -> int:
            going.wait(10)
            return super().write(text)

    out = Still()
    log = RequestLog("text", out)
    for _ in range(210):
        log(served())
    assert log.dropped > 0
    going.set()
    log._ended = True
    log._some.set()
    log._thread.join(10)
    lines = out.getvalue().splitlines()
    dropped = next(line for line in lines if "were dropped" in line)
    assert len(lines) - 1 + int(dropped.split()[2]) == 210


def test_auto_is_text_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert [form_of("auto"), form_of("json")] == ["off", "json"]
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert form_of("auto") == "text"


def test_off_is_understood_as_yaml_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "distil.yaml"
    path.write_text(
        "prompts: {path: p.jsonl}\nteachers: [{model: bundled/teacher}]\nserve: {log: off, fallback: off}\n"
    )
    section = load_config(Project(tmp_path), ["serve.log=off"]).serve
    assert (section.log, section.fallback) == ("off", "off")


def test_the_gateway_logs_answers_and_refusals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def go() -> None:
        section = ServeConfig(engine=f"{student.url}#student", fallback="off", log="json")
        async with running(make_gateway(Project(tmp_path), section, name="student")) as session:
            await (await session.post(CHAT, json=chat_body(), headers={"x-request-id": "mine-1"})).read()
            await (await session.post(CHAT, json=chat_body(temperature="hot"))).read()

    with StudentServer() as student:
        asyncio.run(go())
    answered, refused = map(json.loads, capsys.readouterr().err.splitlines())
    assert (answered["id"], answered["by"], answered["reason"]) == ("mine-1", "student", "fallback_off")
    assert refused["status"] == 400
