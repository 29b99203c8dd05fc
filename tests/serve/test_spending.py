"""A key's dollars a day: held under many requests at once, kept over a restart, refused in the shape of each API."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from distil.cli.main import cli
from distil.errors import WorkFailed
from distil.runs.artifacts import Project
from distil.serve.keys import Keys, new_key, revoke
from distil.serve.spending import CapReached, Spending, read_spending
from tests.serve.running import CHAT, StudentServer, chat_body, running
from tests.serve.test_gateway import gateway_of, teacher_server


def asked(folder: Path, bodies: list[dict[str, Any]], key: str, path: str = CHAT) -> list[tuple[int, Any]]:
    """What a gateway whose teacher answers everything replies to requests at once."""

    async def go() -> list[tuple[int, Any]]:
        async def one(body: dict[str, Any]) -> tuple[int, Any]:
            headers = {"authorization": f"Bearer {key}"}
            async with session.post(path, json=body, headers=headers) as reply:
                return reply.status, await reply.json()

        async with running(gateway) as session:
            return list(await asyncio.gather(*(one(body) for body in bodies)))

    with StudentServer() as student, teacher_server() as teacher:
        gateway = gateway_of(folder, student, teacher, fallback="threshold", threshold=0.5)
        return asyncio.run(go())


def bodies(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [chat_body(f"p=0.1 question {number}", max_tokens=100) for number in range(start, start + count)]


def test_a_cap_holds_at_once_and_after_a_restart(tmp_path: Path) -> None:
    project = Project(tmp_path)
    key, free = new_key(project.gateway_keys, "web", usd_per_day=0.0008), new_key(project.gateway_keys, "batch")
    first = asked(tmp_path, bodies(30), key)
    refused = [reply for status, reply in first if status == 429]
    assert refused and {status for status, _ in first} == {200, 429}
    assert refused[0]["error"]["type"] == refused[0]["error"]["code"] == "insufficient_quota"
    spent = sum(row.usd for row in read_spending(project.key_spending) if row.name == "web")
    assert 0 < spent <= 0.0008
    earlier = Spending(project.key_spending)
    earlier.settle("web", 0, 0.0007 - spent)
    assert {status for status, _ in asked(tmp_path, bodies(3, 100), key)} == {429}
    assert asked(tmp_path, [chat_body("p=0.9 the student's own")], key)[0][0] == 200
    assert asked(tmp_path, bodies(1, 5_000), free)[0][0] == 200
    message = {"model": "student", "max_tokens": 100, "messages": [{"role": "user", "content": "p=0.1 x"}]}
    ((status, reply),) = asked(tmp_path, [message], key, "/v1/messages")
    assert (status, reply["type"], reply["error"]["type"]) == (429, "error", "rate_limit_error")


def test_a_day_ends_at_midnight(tmp_path: Path) -> None:
    at = [datetime(2026, 1, 1, 23, 0, tzinfo=UTC)]
    spending = Spending(tmp_path / "spending.jsonl", clock=lambda: at[0])
    spending.start()
    spending.hold("web", 0.9, 1.0)
    with pytest.raises(CapReached) as caught:
        spending.hold("web", 0.2, 1.0)
    assert caught.value.retry_after_s == 1  # what is set aside may come back
    spending.settle("web", 0.9, 0.9)
    with pytest.raises(CapReached) as caught:
        spending.hold("web", 0.2, 1.0)
    assert caught.value.retry_after_s == 3600
    at[0] = datetime(2026, 1, 2, tzinfo=UTC)
    spending.hold("web", 0.2, 1.0)


def test_a_line_cut_short_is_not_the_end(tmp_path: Path) -> None:
    path = tmp_path / "spending.jsonl"
    spending = Spending(path)
    spending.settle("web", 0, 0.5)
    path.write_bytes(path.read_bytes() + b'{"name": "we')
    again = Spending(path)
    again.start()
    assert again.today("web") == 0.5


def test_many_lines_become_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distil.serve.spending.MOST_LINES", 20)
    spending = Spending(tmp_path / "spending.jsonl")
    for _ in range(50):
        spending.settle("web", 0, 0.01)
    rows = read_spending(tmp_path / "spending.jsonl")
    assert len(rows) < 22 and sum(row.usd for row in rows) == pytest.approx(0.5) and sum(r.answers for r in rows) == 50


def test_a_disk_that_is_full_takes_no_answer_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*args: object, private: bool) -> int:
        raise WorkFailed("Could not write: No space left on device.")

    monkeypatch.setattr("distil.serve.spending.MOST_LINES", 0)
    monkeypatch.setattr("distil.serve.spending.write_records", full)
    spending = Spending(tmp_path / "spending.jsonl")
    spending.settle("web", 0, 0.01)
    assert "No space left" in capsys.readouterr().err


def test_keys_are_listed_with_what_they_spent(tmp_path: Path) -> None:
    project = Project(tmp_path)
    old, new = new_key(project.gateway_keys, "web", usd_per_day=1), new_key(project.gateway_keys, "web", usd_per_day=2)
    spending = Spending(project.key_spending)
    for name in ("web", "gone"):
        spending.settle(name, 0, 0.25)
    shown = CliRunner().invoke(cli, ["serve", "--keys", "--json", "--project", str(tmp_path)])
    rows = json.loads(shown.output)["keys"]
    assert [(row["name"], row["usd_today"]) for row in rows] == [("web", 0.25), ("web", 0.25), ("gone", 0.25)]
    text = CliRunner().invoke(cli, ["serve", "--keys", "--project", str(tmp_path)]).output
    assert "web" in text and "revoked" in text and old not in text and new not in text
    assert revoke(project.gateway_keys, "web", keep_newest=True) == 1
    assert Keys(project.gateway_keys).check({"authorization": f"Bearer {new}"}) == "web"
    assert revoke(project.gateway_keys, "web") == 1
