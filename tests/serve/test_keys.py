"""API keys of the gateway: shown once, kept as hashes, required from the first one on, limited, revoked while it runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from distil.errors import UserError
from distil.runs.artifacts import Project
from distil.serve.config import ServeConfig
from distil.serve.keys import Keys, new_key, revoke
from distil.serve.server import serve
from distil.serve.stage import make_gateway
from distil.serve.wire import BadRequest
from tests.serve.running import CHAT, StudentServer, chat_body, running


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def test_a_key_opens_and_nothing_else_does(tmp_path: Path) -> None:
    project = Project(tmp_path)
    path = project.gateway_keys
    assert Keys(path).check({}) is None  # without keys nobody is asked
    key = new_key(path, "web")
    assert key not in path.read_text() and path.stat().st_mode & 0o077 == 0
    keys = Keys(path)
    assert keys.check(bearer(key)) == keys.check({"x-api-key": key}) == "web"
    for headers in ({}, bearer("distil-guess"), bearer(""), {"authorization": f"Basic {key}"}, bearer(key + "x")):
        with pytest.raises(BadRequest) as caught:
            keys.check(headers)
        assert caught.value.status == 401


def test_keys_are_rotated_while_the_gateway_runs(tmp_path: Path) -> None:
    path, time_s = tmp_path / "keys.jsonl", [0.0]
    old = new_key(path, "web")
    keys = Keys(path, clock=lambda: time_s[0])
    assert keys.check(bearer(old)) == "web"
    other = new_key(path, "batch")
    assert revoke(path, "web") == 1
    time_s[0] += 2
    assert keys.check(bearer(other)) == "batch"
    with pytest.raises(BadRequest, match="Incorrect API key"):
        keys.check(bearer(old))


def test_taking_the_last_key_away_opens_nothing(tmp_path: Path) -> None:
    path, time_s = tmp_path / "keys.jsonl", [0.0]
    key = new_key(path, "web")
    keys = Keys(path, clock=lambda: time_s[0])
    assert keys.check(bearer(key)) == "web" and revoke(path, "web") == 1
    for gone in (False, True):
        if gone:
            path.unlink()
        time_s[0] += 2
        for headers in ({}, bearer(key)):
            with pytest.raises(BadRequest) as caught:
                keys.check(headers)
            assert caught.value.status == 401 and keys.required


def test_a_key_may_send_its_requests_a_minute(tmp_path: Path) -> None:
    path, time_s = tmp_path / "keys.jsonl", [0.0]
    key = new_key(path, "web", requests_per_minute=6)
    keys = Keys(path, clock=lambda: time_s[0])
    for _ in range(6):
        keys.check(bearer(key))
    with pytest.raises(BadRequest) as caught:
        keys.check(bearer(key))
    assert caught.value.status == 429 and caught.value.retry_after_s == 10
    time_s[0] += 10
    assert keys.check(bearer(key)) == "web"


@pytest.mark.parametrize("name", ["", "a b", "x" * 61, "\x1b[31m"])
def test_a_bad_name_makes_no_key(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="A name has up to 60"):
        new_key(tmp_path / "keys.jsonl", name)
    assert not (tmp_path / "keys.jsonl").exists()


def test_an_unknown_key_has_a_suggestion(tmp_path: Path) -> None:
    new_key(tmp_path / "keys.jsonl", "website")
    with pytest.raises(UserError, match="Did you mean 'website'"):
        revoke(tmp_path / "keys.jsonl", "websit")


def test_beyond_this_machine_it_listens_with_a_key_only(tmp_path: Path) -> None:
    with StudentServer() as student:
        section = ServeConfig(engine=f"{student.url}#student", fallback="off")
        gateway = make_gateway(Project(tmp_path), section, name="student")
        with pytest.raises(UserError, match="--new-key"):
            serve(gateway, host="0.0.0.0", port=0)


def test_requests_without_the_key_are_refused(tmp_path: Path) -> None:
    project = Project(tmp_path)
    key = new_key(project.gateway_keys, "web")

    async def go() -> None:
        section = ServeConfig(engine=f"{student.url}#student", fallback="off")
        async with running(make_gateway(project, section, name="student")) as session:
            for headers, status in (({}, 401), (bearer(key), 200)):
                async with session.post(CHAT, json=chat_body(), headers=headers) as reply:
                    assert reply.status == status
                async with session.get("/v1/models", headers=headers) as reply:
                    assert reply.status == status
            async with session.get("/healthz") as alive:
                assert alive.status == 200

    with StudentServer() as student:
        asyncio.run(go())
