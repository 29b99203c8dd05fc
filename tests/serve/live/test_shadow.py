"""A student in the shadow: compared off the reply's path, put in place when no worse, taken back on its alarm."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from pathlib import Path

import pytest

from distil.records import Message, Sampling, Usage
from distil.serve.certificate.reasons import Reason
from distil.serve.engines.base import Engine
from distil.serve.fallback import Fallback
from distil.serve.gateway import Gateway
from distil.serve.live.auditor import Auditor, Role
from distil.serve.live.shadow import Shadow
from distil.serve.live.state import LiveState
from distil.serve.policy import Policy
from distil.serve.wire import ChatReply, ChatRequest
from tests.serve.live.test_state import audit, terms
from tests.serve.running import teacher_of
from tests.serve.test_gateway import teacher_server


class Fake:
    """A student that is sure of every answer, and whose error a test sets."""

    def __init__(self, name: str, error: float, seed: int) -> None:
        self.identity, self._error, self._rng = name, error, random.Random(seed)
        self.running = False
        self.wait = asyncio.Event()
        self.wait.set()

    async def start(self) -> None:
        self.running = True

    async def stop(self) -> None:
        self.running = False

    async def ready(self) -> bool:
        return True

    def gauges(self) -> dict[str, float]:
        return {}

    async def answer(self, request: ChatRequest) -> ChatReply:
        await self.wait.wait()
        assert self.running
        text = "wrong" if self._rng.random() < self._error else "right"
        return ChatReply(text, "stop", Usage(), token_logprobs=[-0.01])


def is_wrong(request: ChatRequest, student: ChatReply, teacher: ChatReply) -> bool:
    return student.text == "wrong"


def request(text: str) -> ChatRequest:
    return ChatRequest("m", [Message(role="user", content=text)], Sampling(temperature=0.0))


def shadowed(folder: Path, teacher: Fallback, old: Engine, new: Engine) -> tuple[Gateway, Auditor, Shadow]:
    gateway = Gateway("old", old, Policy("calibrated", 0.8, temperature=0.0), teacher=teacher)
    auditor = Auditor(gateway, Role("old", LiveState(terms("warn")), is_wrong), folder / "audits.jsonl", 1.0)
    role = Role("new", LiveState(terms(certificate="new")), is_wrong)
    shadow = Shadow(gateway, auditor, "new", new, Policy("calibrated", 0.5, temperature=0.0), role)
    gateway.watchers += [auditor.watch, shadow.watch]
    gateway.companions += [auditor, shadow]
    return gateway, auditor, shadow


@pytest.fixture
def fsync_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda number: None)


@pytest.mark.usefixtures("fsync_off")
def test_a_student_that_is_no_worse_takes_over_and_back(tmp_path: Path) -> None:
    async def go() -> None:
        old, new = Fake("old", 0.03, 0), Fake("new", 0.01, 1)
        gateway, auditor, shadow = shadowed(
            tmp_path, Fallback(tmp_path / "ledger.sqlite", teacher_of(server), None), old, new
        )
        await gateway.start()
        answers = 0
        while not shadow.took_over and answers < 3_000:
            await asyncio.gather(*(gateway.answer(request("x")) for _ in range(20)))
            answers += 20
            await asyncio.sleep(0)
            while auditor.waiting or shadow.waiting:
                await asyncio.sleep(0.001)
        assert 200 < shadow.compared <= answers and "no worse" in shadow.words()
        assert gateway.student is new and gateway.policy.threshold == 0.8 and auditor.state.audits == 0
        # a request that began with the old student ends with it, by its own rule
        gateway.student, gateway.policy = old, replace(gateway.policy, threshold=0.8)
        old.wait.clear()
        late = asyncio.create_task(gateway.answer(request("late")))
        await asyncio.sleep(0.01)
        gateway.student, gateway.policy = new, replace(gateway.policy, threshold=2.0)
        old.wait.set()
        assert (await late).decision == ("student", Reason.CONFIDENT)
        gateway.policy = replace(gateway.policy, threshold=0.8)
        while not auditor.state.alarm and gateway.student is new:  # it turns out to be bad: the old one comes back
            new._error = 1.0
            await gateway.answer(request("y"))
            while auditor.waiting:
                await asyncio.sleep(0.001)
        assert gateway.student is old and not gateway.policy.closed and auditor.role.name == "old"
        await gateway.stop()
        assert not old.running and not new.running

    with teacher_server() as server:
        asyncio.run(go())


@pytest.mark.usefixtures("fsync_off")
def test_a_worse_student_stays_in_the_shadow(tmp_path: Path) -> None:
    async def go() -> None:
        old, new = Fake("old", 0.01, 2), Fake("new", 0.08, 3)
        gateway, auditor, shadow = shadowed(
            tmp_path, Fallback(tmp_path / "ledger.sqlite", teacher_of(server), None), old, new
        )
        await gateway.start()
        for _ in range(30):
            await asyncio.gather(*(gateway.answer(request("x")) for _ in range(20)))
            while auditor.waiting or shadow.waiting:
                await asyncio.sleep(0.001)
        assert shadow.compared == 600 and not shadow.took_over and gateway.student is old
        assert "not decided yet" in shadow.words() and shadow.figures()["distil_shadow_took_over"] == 0.0
        await gateway.stop()
        assert not new.running

    with teacher_server() as server:
        asyncio.run(go())


def test_an_alarm_of_the_one_in_place_is_its_own() -> None:
    """Audits of another certificate change nothing."""
    state = LiveState(terms(certificate="new"))
    assert state.add(audit(bad=True)) is None and state.audits == 0
