"""A student in the shadow: compared off the reply's path, put in place when no worse, taken back on its alarm."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from pathlib import Path

import pytest

from distil.calls.config import TeacherConfig
from distil.records import Example, Message, Sampling, Usage
from distil.runs.artifacts import Project
from distil.runs.jsonl import write_records
from distil.serve.certificate.reasons import Reason
from distil.serve.config import ServeConfig
from distil.serve.engines.base import Engine
from distil.serve.fallback import Fallback
from distil.serve.gateway import Gateway
from distil.serve.live.auditor import Auditor, Role
from distil.serve.live.replay import certificate_of
from distil.serve.live.setup import Candidate, watch_live
from distil.serve.live.shadow import Shadow
from distil.serve.live.state import LiveState, OnAlarm
from distil.serve.policy import Policy
from distil.serve.served import StudentId
from distil.serve.wire import ChatReply, ChatRequest
from tests.report.sample import calibration
from tests.serve.live.test_state import THRESHOLD, audit, terms
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
        assert (
            await gateway.answer(request("z"))
        ).student_id == gateway.student_id and gateway.student_id.name == "new"
        # a request that began with the old student ends with it, by its own rule and under its own name
        gateway.student, gateway.policy = old, replace(gateway.policy, threshold=0.8)
        gateway.student_id = StudentId("old", "fp")
        old.wait.clear()
        late = asyncio.create_task(gateway.answer(request("late")))
        await asyncio.sleep(0.01)
        gateway.student, gateway.policy = new, replace(gateway.policy, threshold=2.0)
        gateway.student_id = StudentId("new", "fp2")
        old.wait.set()
        ended = await late
        assert ended.decision == ("student", Reason.CONFIDENT) and ended.student_id.name == "old"
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


@pytest.mark.parametrize("on_alarm", ["warn", "tighten", "off"])
def test_a_refuted_one_stays_out_after_a_restart(
    tmp_path: Path, on_alarm: OnAlarm, capsys: pytest.CaptureFixture[str]
) -> None:
    project = Project(tmp_path)
    write_records(project.split("validation"), [example(number) for number in range(4)])
    update = {"compared": "any field other than the teacher's", "goal": 1.0, "threshold": THRESHOLD}
    old, new = (calibration(name).model_copy(update=update | {"model": name}) for name in ("old", "new"))
    section = ServeConfig(fallback="calibrated", audit=0.5, on_alarm=on_alarm, shadow="new")

    def companions() -> list[type]:
        fallback = Fallback(project.ledger, TeacherConfig(model="openai/gpt-5-mini"), None)
        gateway = Gateway(
            "old", Fake("old", 0.0, 0), Policy("calibrated", THRESHOLD, temperature=0.0), teacher=fallback
        )
        candidate = Candidate("new", Fake("new", 0.0, 1), Policy("calibrated", THRESHOLD, temperature=0.0), new)
        watch_live(project, section, gateway, old, None, candidate)
        return [type(one) for one in gateway.companions]

    assert Shadow in companions()
    line = audit(bad=True, student="new", certificate=certificate_of(new), share=0.5, probability=0.5)
    write_records(project.audits, [line] * 300)
    capsys.readouterr()
    assert Shadow not in companions()
    assert "new stays out of the shadow of old: it has served, and its alarm of" in capsys.readouterr().err


def example(number: int) -> Example:
    messages = [Message(role="user", content=f"q{number}"), Message(role="assistant", content=f'{{"n": {number}}}')]
    return Example(id=f"e{number}", prompt_id=f"p{number}", answer_id=None, messages=messages, split="validation")


def test_an_alarm_of_the_one_in_place_is_its_own() -> None:
    """Audits of another certificate change nothing."""
    state = LiveState(terms(certificate="new"))
    assert state.add(audit(bad=True)) is None and state.audits == 0
