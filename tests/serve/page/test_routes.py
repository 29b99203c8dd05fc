"""The page over HTTP: for this origin, with a key for it where keys are asked for, and nothing of a model in its document."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from distil.runs.artifacts import Project
from distil.runs.marks import read_marks
from distil.serve.certificate.reasons import Reason
from distil.serve.config import ServeConfig
from distil.serve.keys import new_key
from distil.serve.page.document import HERE
from distil.serve.stage import make_gateway
from tests.serve.running import CHAT, StudentServer, chat_body, running, teacher_of
from tests.wire.openai import OpenAIServer

HOSTILE = "<img src=x onerror=alert(1)>"


def asked(folder: Path, *requests: tuple[str, str, dict[str, Any]]) -> list[tuple[int, dict[str, str], str]]:
    """(status, headers, text) of requests to a gateway whose teacher has answered one question."""

    async def go() -> list[tuple[int, dict[str, str], str]]:
        gateway = make_gateway(
            Project(folder),
            ServeConfig(engine=f"{student.url}#student", fallback="threshold", threshold=0.8),
            name="student",
            teachers=[teacher_of(teacher)],
        )
        found = []
        async with running(gateway) as session:
            gateway.host = "127.0.0.1"
            async with session.post(CHAT, json=chat_body(f"p=0.3 {HOSTILE}")) as reply:
                await reply.read()
            for method, path, options in requests:
                async with session.request(method, path, **options) as reply:
                    found.append((reply.status, {k.lower(): v for k, v in reply.headers.items()}, await reply.text()))
        return found

    with StudentServer() as student, OpenAIServer(key=None, answer=lambda body: HOSTILE) as teacher:
        return asyncio.run(go())


def test_the_document_runs_nothing_but_itself(tmp_path: Path) -> None:
    page, live = asked(tmp_path, ("GET", "/", {}), ("GET", "/live.json", {}))
    policy = page[1]["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'sha256-" in policy and "frame-ancestors 'none'" in policy
    assert HOSTILE not in page[2] and "http://" not in page[2] and "https://" not in page[2]
    assert live[1]["content-type"] == "application/json" and live[1]["x-content-type-options"] == "nosniff"
    case = json.loads(live[2])["fallbacks"][0]
    assert case["teacher"]["text"] == [HOSTILE, 0] and case["student"]["text"][0].startswith("student: p=0.3")


def test_pages_elsewhere_see_and_mark_nothing(tmp_path: Path) -> None:
    foreign: list[dict[str, str]] = [
        {"host": "evil.example"},
        {"origin": "http://evil.example"},
        {"sec-fetch-site": "cross-site"},
    ]
    replies = asked(
        tmp_path,
        *[("GET", "/live.json", {"headers": headers}) for headers in foreign],
        (
            "POST",
            "/live/marks",
            {"data": '{"answer_id": "a", "mark": "bad"}', "headers": {"content-type": "text/plain"}},
        ),
    )
    assert [status for status, _, _ in replies] == [403, 403, 403, 415]
    assert all(HOSTILE not in text for _, _, text in replies)


def test_a_key_for_the_page_is_asked_for(tmp_path: Path) -> None:
    path = Project(tmp_path).gateway_keys
    plain, for_page = new_key(path, "app"), new_key(path, "me", page=True)
    replies = asked(
        tmp_path,
        ("GET", "/", {}),
        ("GET", "/live.json", {}),
        ("GET", f"/live.json?key={for_page}", {}),
        *[("GET", "/live.json", {"headers": {"authorization": f"Bearer {key}"}}) for key in (plain, for_page)],
    )
    assert [status for status, _, _ in replies] == [200, 401, 401, 403, 200]
    assert "--page" in replies[3][2]


def test_a_mark_is_kept_or_refused_by_name(tmp_path: Path) -> None:
    async def go() -> None:
        gateway = make_gateway(
            Project(tmp_path),
            ServeConfig(engine=f"{student.url}#student", fallback="always"),
            name="student",
            teachers=[teacher_of(teacher)],
        )
        async with running(gateway) as session:
            await (await session.post(CHAT, json=chat_body())).read()
            state = await (await session.get("/live.json")).json()
            identity = state["fallbacks"][0]["answer_id"]
            kept = await session.post("/live/marks", json={"answer_id": identity, "mark": "bad"})
            assert (await kept.json())["marks"] == {identity: "bad"}
            for body in (
                {"answer_id": identity, "mark": "edited"},
                {"answer_id": "none", "mark": "bad"},
                [],
                {"mark": {}},
            ):
                refused = await session.post("/live/marks", json=body)
                assert refused.status == 400
            assert (await session.get("/live.json?after=x")).status == 400
        assert read_marks(Project(tmp_path).marks)[identity].mark == "bad"

    with StudentServer() as student, OpenAIServer(key=None) as teacher:
        asyncio.run(go())


@pytest.mark.parametrize("path", ["/live.json", "/live/marks"])
def test_other_methods_are_refused(tmp_path: Path, path: str) -> None:
    ((status, _, _),) = asked(tmp_path, ("DELETE", path, {}))
    assert status == 405


def test_every_reason_has_words_on_the_page() -> None:
    script = (HERE / "script" / "figures.js").read_text(encoding="utf-8")
    words = script.partition("const WHY = {")[2].partition("};")[0]
    assert {reason.value for reason in Reason} <= set(re.findall(r'(\w+): "', words))
