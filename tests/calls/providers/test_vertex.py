"""vertex/NAME: project, region, express mode, and new tokens in time."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from distil.calls.config import TeacherConfig
from distil.calls.faults import GarbledReply
from distil.calls.providers import vertex
from distil.calls.providers.catalog import open_teacher
from distil.calls.providers.vertex import VertexKey, VertexProvider, access_token
from distil.errors import UserError
from tests.calls.providers.recorded_replies import replies
from tests.wire.ask import question

HOST = "aiplatform.googleapis.com"
MODEL = TeacherConfig(model="vertex/gemini-2.5-flash")


def sent(environ: dict[str, str], config: TeacherConfig = MODEL) -> tuple[str, dict[str, str]]:
    one = open_teacher(config, environ).replicas[0]
    assert isinstance(one, VertexProvider)
    wire = one.wire(question("Hi"))
    return wire.url, asyncio.run(one.signed(wire.url, wire.headers, b"{}"))


@pytest.mark.parametrize(
    ("environ", "url", "header"),
    [
        ({"GOOGLE_CLOUD_PROJECT": "p", "VERTEX_ACCESS_TOKEN": "ya29.x"}, f"https://{HOST}/v1beta1/projects/p/locations/global",
         ("Authorization", "Bearer ya29.x")),
        ({"VERTEXAI_PROJECT": "p", "VERTEXAI_LOCATION": "europe-west4", "VERTEX_ACCESS_TOKEN": "Bearer ya29.x\n"},
         f"https://europe-west4-{HOST}/v1beta1/projects/p/locations/europe-west4", ("Authorization", "Bearer ya29.x")),
        ({"GOOGLE_API_KEY": "AIzaX"}, f"https://{HOST}/v1beta1", ("x-goog-api-key", "AIzaX")),
        ({"VERTEX_API_KEY": "AQ.x"}, f"https://{HOST}/v1beta1", ("x-goog-api-key", "AQ.x")),
    ],
)  # fmt: skip
def test_project_region_and_key_come_from_the_environment(
    environ: dict[str, str], url: str, header: tuple[str, str]
) -> None:
    found, headers = sent(environ)
    assert found == f"{url}/publishers/google/models/gemini-2.5-flash:generateContent"
    assert headers[header[0]] == header[1]
    assert len({"Authorization", "x-goog-api-key"} & headers.keys()) == 1


def test_the_same_model_is_one_teacher_wherever_it_runs() -> None:
    project = open_teacher(MODEL, {"GOOGLE_CLOUD_PROJECT": "p", "VERTEX_ACCESS_TOKEN": "t"})
    express = open_teacher(MODEL, {"GOOGLE_API_KEY": "AIzaX"})
    assert project.endpoint == express.endpoint


def test_a_variable_of_ones_own_holds_a_token_or_a_key() -> None:
    config = TeacherConfig(model="vertex/gemini-2.5-flash", api_key_env="MINE")
    assert "Authorization" in sent({"GOOGLE_CLOUD_PROJECT": "p", "MINE": "ya29.t"}, config)[1]
    assert "x-goog-api-key" in sent({"GOOGLE_CLOUD_PROJECT": "p", "MINE": "AIzaT"}, config)[1]


def test_what_is_missing_is_said_with_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="export GOOGLE_CLOUD_PROJECT="):
        open_teacher(MODEL, {})
    monkeypatch.setattr("distil.calls.providers.hosts.shutil.which", lambda name: None)
    with pytest.raises(UserError, match="gcloud auth print-access-token"):
        open_teacher(MODEL, {"GOOGLE_CLOUD_PROJECT": "p"})


def test_gcloud_is_asked_once_for_many_and_again_when_it_is_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made = list[str]()
    monkeypatch.setattr(vertex, "access_token", lambda command: made.append(command[0]) or f"token{len(made)}")

    async def main() -> None:
        one = VertexProvider("gemini-2.5-flash", "https://x/v1beta1", VertexKey(command=("gcloud",)))
        headers = await asyncio.gather(*(one.signed("u", {}, b"") for _ in range(20)))
        assert {header["Authorization"] for header in headers} == {"Bearer token1"}
        one._token = ("token1", 0.0)
        assert (await one.signed("u", {}, b""))["Authorization"] == "Bearer token2"

    asyncio.run(main())


def test_a_token_that_cannot_be_made_says_why() -> None:
    assert access_token([sys.executable, "-c", "print('ya29.x')"]) == "ya29.x"
    with pytest.raises(UserError, match="not logged in"):
        access_token([sys.executable, "-c", "import sys; sys.exit('you are not logged in')"])
    with pytest.raises(UserError, match="could not be run"):
        access_token(["/no/such/gcloud"])


def test_claude_on_vertex_is_answered_with_what_to_write() -> None:
    with pytest.raises(UserError, match="Write anthropic/claude-sonnet-4-5"):
        open_teacher(TeacherConfig(model="vertex_ai/claude-sonnet-4-5@20250929"), {"GOOGLE_CLOUD_PROJECT": "p"})


def test_all_recorded_replies_are_read(data_dir: Callable[[str], Path]) -> None:
    found = replies(data_dir("replies/replies.jsonl.gz"), lambda record: record["host"].endswith(HOST))
    assert len(found) > 12
    one = VertexProvider("gemini-2.5-flash", f"https://{HOST}/v1beta1", VertexKey(token="t"))
    for record in found:
        raw, body = record["body"].encode(), json.loads(record["body"])
        if record["status"] != 200:
            assert one.fault(record["status"], record["headers"], raw).kind == "bad_request"
            continue
        try:
            parsed = one.parse(200, record["headers"], raw)
        except GarbledReply as error:
            assert error.fault.kind == "broken_off"
            continue
        if "candidates" not in body:
            assert parsed.finish_reason == "content_filter"
            continue
        parts = body["candidates"][0].get("content", {}).get("parts", [])
        assert parsed.text == "".join(part["text"] for part in parts if "text" in part and not part.get("thought"))
        assert len(parsed.tool_calls or []) == sum("functionCall" in part for part in parts)
