"""A gateway whose start fails midway stops what has started by then."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from distil.errors import UserError
from distil.serve.capture import Capture
from distil.serve.fallback import Fallback
from distil.serve.gateway import Gateway
from distil.serve.policy import Policy
from tests.serve.live.test_shadow import Fake
from tests.serve.running import teacher_of
from tests.serve.test_gateway import teacher_server


def test_a_start_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    class Failing:
        async def start(self) -> None:
            assert student.running
            raise UserError("no room")

        async def stop(self) -> None:
            raise AssertionError("it never started")

        def figures(self) -> dict[str, float]:
            return {}

    async def go() -> None:
        fallback, capture = (
            Fallback(tmp_path / "ledger.sqlite", teacher_of(server), None),
            Capture(tmp_path / "c.jsonl"),
        )
        gateway = Gateway("s", student, Policy("threshold", 0.8), teacher=fallback, capture=capture)
        gateway.at_end.append(lambda: ended.append(True))
        gateway.companions.append(Failing())
        with pytest.raises(UserError, match="no room"):
            await gateway.start()
        assert not student.running and ended == [True] and not list(tmp_path.glob(".*reserve"))
        assert capture._thread is not None and not capture._thread.is_alive()
        await gateway.stop()
        assert ended == [True]

    student, ended = Fake("s", 0.0, 0), list[bool]()
    with teacher_server() as server:
        asyncio.run(go())
