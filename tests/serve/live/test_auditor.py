"""Audits over real loopback HTTP: chosen at random, asked after the reply, on the disk before they count; the alarm acts."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from distil.prompts.gateway import take_captured
from distil.records import Example, Message, Prediction
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records
from distil.runs.schemas.audits import Audit
from distil.runs.schemas.gateway_prompts import read_gateway_prompts
from distil.serve.capture import Capture
from distil.serve.engines.base import make_engine
from distil.serve.fallback import Fallback
from distil.serve.gateway import Gateway
from distil.serve.live.auditor import Auditor, Role
from distil.serve.live.label import NoRule, labeler, measure_of
from distil.serve.live.state import LiveState, OnAlarm
from distil.serve.policy import Policy
from distil.serve.wire import ChatReply, ChatRequest
from tests.report.sample import calibration
from tests.serve.live.test_state import terms
from tests.serve.running import CHAT, StudentServer, chat_body, running, teacher_of
from tests.serve.test_gateway import teacher_server
from tests.wire.openai import SERVER_ERROR, OpenAIServer


def is_bad(request: ChatRequest, student: ChatReply, teacher: ChatReply) -> bool | None:
    """As the question says it."""
    asked = request.messages[-1].text
    return None if "unclear" in asked else "bad" in asked


def audited(
    folder: Path, student: StudentServer, teacher: OpenAIServer, share: float = 0.1, on_alarm: OnAlarm = "tighten"
) -> tuple[Gateway, Auditor]:
    """A calibrated gateway at a threshold of 0.8, with the state that its audits left."""
    project, state = Project(folder), LiveState(terms(on_alarm))
    if project.audits.exists():
        for line in read_records(project.audits, Audit):
            state.add(line)
    gateway = Gateway(
        "student",
        make_engine("", batch_size=1, queue=1, engine=f"{student.url}#student"),
        Policy("calibrated", 0.8, temperature=0.0),
        teacher=Fallback(project.ledger, teacher_of(teacher), None),
        capture=Capture(project.captured),
    )
    auditor = Auditor(gateway, Role("student", state, is_bad), project.audits, share, chance=lambda: 0.05)
    gateway.audit_share = auditor.least
    gateway.watchers.append(auditor.watch)
    gateway.companions.append(auditor)
    return gateway, auditor


async def ask(session: Any, *texts: str) -> list[tuple[str, str]]:
    """(who answered, why) of requests one after another, with a moment for the audits."""
    told = []
    for text in texts:
        async with session.post(CHAT, json=chat_body(text)) as reply:
            assert reply.status == 200
            told.append((reply.headers["x-distil-answered-by"], reply.headers["x-distil-reason"]))
    return told


async def until(condition: Any) -> None:
    """Waits at most two minutes."""
    for _ in range(12_000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")


def test_an_audit_has_both_answers_and_delays_nothing(tmp_path: Path) -> None:
    async def go() -> None:
        async with running(gateway) as session:
            told = await ask(session, "p=0.9 fine", "p=0.9 bad", "p=0.9 unclear")
            assert told == [("student", "confident")] * 3 and not given
            answers.set()  # only now the teacher answers
            assert await ask(session, "p=0.3 unsure") == [("teacher", "unsure")]
            await until(lambda: auditor.state.audits == 2 and auditor.unlabeled == 1)
            async with session.get("/metrics") as reply:
                assert "distil_audits_bad 1.0" in await reply.text()

    answers, given = threading.Event(), list[str]()

    def answer(body: dict[str, Any]) -> str:
        answers.wait(120)
        given.append("")
        return "the teacher's answer"

    with StudentServer() as student, OpenAIServer(key=None, answer=answer) as teacher:
        gateway, auditor = audited(tmp_path, student, teacher)
        asyncio.run(go())
        assert len(teacher.answered) == 4 and auditor.usd > 0
    project = Project(tmp_path)
    first, second = read_records(project.audits, Audit)
    assert (first.bad, second.bad, first.requests) == (False, True, 1)
    assert first.probability == pytest.approx(0.4 / 3)
    assert first.id.startswith("req_") and first.confidence == pytest.approx(0.9)
    captured = [json.loads(line)["captured"] for line in project.captured.read_text().splitlines()]
    assert len(captured) == 4 and {round(one["share"], 4) for one in captured} == {0.0667}
    assert all(one["student"].startswith("student:") and one["teacher"] == "the teacher's answer" for one in captured)
    assert {one["call"] for one in captured} and first.id in {one["id"] for one in captured}
    take_captured(project)  # an audit belongs to the fair sample of the traffic
    splits = {one.request_id: one.prompt.split for one in read_gateway_prompts(project.gateway_prompts)}
    assert splits[first.id] in (None, "train") and len(splits) == 4


def test_only_a_share_is_audited(tmp_path: Path) -> None:
    """The chance is 0.05 each time: above the share there are none."""
    with StudentServer() as student, teacher_server() as teacher:
        gateway, auditor = audited(tmp_path, student, teacher, share=0.03)

        async def go() -> None:
            async with running(gateway) as session:
                await ask(session, *["p=0.9 bad"] * 5)

        asyncio.run(go())
        assert not teacher.answered and auditor.state.audits == 0 and not Project(tmp_path).audits.exists()


def test_the_alarm_shuts_the_gate_also_after_a_restart(tmp_path: Path) -> None:
    async def alarm() -> None:
        async with running(gateway) as session:
            for number in range(40):
                await ask(session, f"p=0.9 bad {number}")
                await until(lambda count=number: auditor.state.audits == count + 1 or auditor.state.closed)
                if auditor.state.closed:
                    break
            assert await ask(session, "p=0.9 next", "p=0.5 other") == [("teacher", "alarm")] * 2

    async def later() -> None:
        async with running(again) as session:
            assert await ask(session, "p=0.9 after the restart") == [("teacher", "alarm")]

    with StudentServer() as student, teacher_server() as teacher:
        gateway, auditor = audited(tmp_path, student, teacher, on_alarm="off")
        asyncio.run(alarm())
        assert 3 <= auditor.state.audits < 40 and auditor.state.bad == auditor.state.audits
        again, _ = audited(tmp_path, student, teacher, on_alarm="off")
        before = len(student.answered)
        asyncio.run(later())
        assert len(student.answered) == before


def test_a_shut_gate_opens_on_good_answers(tmp_path: Path) -> None:
    """Both answer while it is shut, so the labels cost nothing; then the student answers again."""
    with StudentServer() as student, teacher_server() as teacher:
        gateway, auditor = audited(tmp_path, student, teacher)
        state = auditor.state
        while not state.closed:
            state.add(
                Audit(
                    id="", at="x", student="s", fingerprint="f", certificate="c", answered="student", probability=0.1,
                    weight=1.0, share=0.1, confidence=0.85, threshold=0.8, risk=0.05, bad=True, requests=1,
                )
            )  # fmt: skip

        async def go() -> None:
            async with running(gateway) as session:
                for number in range(400):
                    told = await ask(session, f"p=0.9 fine {number % 5}")
                    if told[0][0] == "student":
                        break
                assert told == [("student", "confident")] and number > 20

        asyncio.run(go())
        assert state.openings == 1 and gateway.policy.threshold == state.threshold and len(teacher.answered) <= 6


def test_audits_end_where_the_teacher_does(tmp_path: Path) -> None:
    with StudentServer() as student, teacher_server(troubles=[SERVER_ERROR] * 2) as teacher:
        gateway, auditor = audited(tmp_path, student, teacher)

        async def go() -> None:
            async with running(gateway) as session:
                assert await ask(session, "p=0.9 one") == [("student", "confident")]
                await until(lambda: auditor.failed == 1)
                assert await ask(session, "p=0.9 two") == [("student", "confident")]

        asyncio.run(go())
        assert auditor.dropped == 1 and auditor.state.audits == 0


def examples(*answers: str) -> list[Example]:
    turns = [Message(role="user", content="?")]
    return [
        Example(
            id="e", prompt_id="p", answer_id="a", split="validation",
            messages=[*turns, Message(role="assistant", content=answer)],
        )
        for answer in answers
    ]  # fmt: skip


def test_audits_are_labeled_as_the_calibration_was() -> None:
    made = calibration("s").model_copy(
        update={"goal": 1.0, "bad_by": "fields", "compared": "any field other than the teacher's"}
    )
    rule, risk, _ = measure_of(made, examples('{"a": 1}', '{"a": 2}'), [], None)
    assert risk == made.risk
    label = labeler(rule, None)
    request = ChatRequest("m", [Message(role="user", content="?")], sampling=None)  # type: ignore[arg-type]

    def reply(text: str, finish: str = "stop") -> ChatReply:
        return ChatReply(text, finish, usage=None)  # type: ignore[arg-type]

    assert label(request, reply('{"a":1}'), reply('{"a": 1}')) is False
    assert label(request, reply('{"a":2}'), reply('{"a": 1}')) is True
    assert label(request, reply('{"a":1}', "length"), reply('{"a": 1}')) is True
    assert label(request, reply('{"a":1}'), reply('{"a": 1', "length")) is None
    with pytest.raises(NoRule, match="validation prompts have changed"):
        measure_of(made, examples("yes", "no"), [], None)
    with pytest.raises(NoRule, match="no similarity is at hand"):
        prose = "It usually takes two days, but longer at the weekend or where the weather is bad."
        compared = "a similarity to the teacher's answer below 1, or other numbers or names, or the opposite"
        measure_of(made.model_copy(update={"bad_by": "similarity", "compared": compared}), examples(prose), [], None)


def test_with_references_agreement_is_watched() -> None:
    """Requests have no reference: the alarm is about agreeing with the teacher less often than at the calibration."""
    made = calibration("s").model_copy(update={"bad_by": "reference", "threshold": 0.5, "score": "mean"})
    labeled = [
        example.model_copy(update={"reference": "A: 3", "prompt_id": f"p{number}"})
        for number, example in enumerate(examples(*["A: 3"] * 200))
    ]
    answers = [
        Prediction(
            id="x", prompt_id=f"p{number}", model="s", text="A: 4" if number < 20 else "A: 3", finish_reason="stop",
            output_tokens=1, token_logprobs=[-0.1 if number < 150 else -3.0],
        )
        for number in range(200)
    ]  # fmt: skip
    rule, risk, note = measure_of(made, labeled, answers, None)
    assert (rule.by, rule.kind) == ("fields", "number") and "20 of 150" in note
    assert 20 / 150 < risk < 0.2
    with pytest.raises(NoRule, match="None of the calibrated answers"):
        measure_of(made, labeled, [], None)
