"""Who watches a gateway sees each answered request once, and can't take an answer away."""

from __future__ import annotations

from pathlib import Path

import pytest

from distil.serve.served import Served
from tests.serve.running import StudentServer, chat_body
from tests.serve.test_gateway import exchange, gateway_of, teacher_server


def test_a_failing_watcher_takes_no_answer_away(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[Served] = []

    def broken(served: Served) -> None:
        raise RuntimeError("a watcher's own fault")

    with StudentServer() as student, teacher_server() as teacher:
        gateway = gateway_of(tmp_path, student, teacher, fallback="threshold", threshold=0.8)
        gateway.watchers += [broken, seen.append]
        replies = exchange(gateway, chat_body("p=0.9 hello"), chat_body("p=0.3 hello"))
    assert [status for status, _, _ in replies] == [200, 200]
    assert [(s.decision.by, s.teacher is None, s.usd > 0) for s in seen] == [
        ("student", True, False),
        ("teacher", False, True),
    ]
    assert seen[1].student is not None and seen[1].reply is seen[1].teacher
    assert "a watcher's own fault" in capsys.readouterr().err
