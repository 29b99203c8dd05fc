"""A model behind a URL is recognized by its answers: noise passes, another model does not, and the student is switched off."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from distil.errors import UserError
from distil.records import Message
from distil.runs.schemas.canary import Canary
from distil.serve.calibration import calibrate
from distil.serve.certificate import watch as watching
from distil.serve.certificate.canary import difference, differences, read_canaries, tolerance
from distil.serve.stage import make_gateway
from tests.serve.calibration.test_calibrate import project_with, section_for
from tests.serve.running import CHAT, StudentServer, chat_body, running, teacher_of
from tests.wire.openai import OpenAIServer

TOKENS = [[("a", -0.5), ("b", -1.2), ("c", -3.0)], [("d", -0.1), ("e", -2.5)], [("f", -0.7), ("g", -0.7001)]]


def canary(noise: float = 0.0) -> Canary:
    return Canary(messages=[Message(role="user", content="x")], tokens=TOKENS, noise=noise)


def moved(by: float, seed: int = 0) -> list[list[tuple[str, float]]]:
    """The same tokens with log-probabilities that are moved up or down."""
    draw = random.Random(seed)
    return [[(token, p + by * draw.choice((-1, 1))) for token, p in position] for position in TOKENS]


def test_float_noise_passes_and_another_model_does_not() -> None:
    """Figures of docs/results_serving.md: batches 0.0025, float16 against float32 0.004, q8_0 0.11, four times the logits 7.9."""
    canaries = [canary() for _ in range(17)]
    for by, passes in ((0.0, True), (0.0025, True), (0.004, True), (0.0158, False), (0.1, False), (8.0, False)):
        found = difference(canaries, [moved(by, seed) for seed in range(17)])
        assert found is not None and (found <= tolerance(canaries)) is passes, by


def test_the_tolerance_follows_the_noise_at_calibration() -> None:
    """16-bit arithmetic on a GPU moves log-probabilities more than this machine's."""
    assert tolerance([canary(0.03)] * 17) == pytest.approx(0.12)
    assert tolerance([canary(0.0)] * 17) == 0.01


def test_a_near_tie_costs_one_token() -> None:
    other = [*TOKENS[:2], [("g", -0.7), ("f", -0.7001)]]
    assert sum(differences(TOKENS, [*other, [("z", -9.0)]])) < 0.001  # what comes after another token is not compared


def test_other_words_are_as_far_as_it_goes() -> None:
    assert differences(TOKENS, [[("x", -0.2), ("y", -2.0)]]) == pytest.approx([(1.0 + 0.8 + 0.0) / 3])
    assert differences(TOKENS, []) == [1.0]
    assert differences([], []) == []


def test_too_few_answers_tell_nothing() -> None:
    canaries = [canary() for _ in range(6)]
    assert difference(canaries, [TOKENS] * 3 + [None] * 3) is None
    assert difference(canaries, [TOKENS] * 5 + [None]) == 0


class Swapped(StudentServer):
    """A student's server whose model can be replaced: `factor` multiplies the log-probabilities."""

    factor = 1.0

    def complete(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        status, reply = super().complete(body)
        for token in ((reply.get("choices") or [{}])[0].get("logprobs") or {}).get("content") or []:
            token["logprob"] *= self.factor
        return status, reply


def test_another_model_behind_the_url_is_refused_at_start(tmp_path: Path) -> None:
    project = project_with(tmp_path, labeled=240, held_out=80)

    async def start(section: Any, teacher: OpenAIServer) -> None:
        gateway = make_gateway(project, section, name="s", teachers=[teacher_of(teacher)])
        await gateway.start()
        await gateway.stop()

    with Swapped() as student, OpenAIServer(key=None) as teacher:
        section = section_for(student)
        assert calibrate.run(project, section, name="s").threshold is not None
        assert len(read_canaries(project, "s")) == 17
        asyncio.run(start(section, teacher))
        student.factor = 4.0
        with pytest.raises(
            UserError, match=r"not the one that 's' was calibrated with.* nats a token.*distil calibrate s"
        ):
            asyncio.run(start(section, teacher))


def test_a_model_replaced_while_it_runs_is_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And on again when the calibrated one is back; visible in /metrics and /readyz."""
    monkeypatch.setattr(watching, "LOOK_S", 0.02)
    project = project_with(tmp_path, labeled=240, held_out=80)
    seen: list[str] = []

    async def until(session: Any, reason: str) -> None:
        for _ in range(300):
            async with session.post(CHAT, json=chat_body("p=0.95 a")) as reply:
                if reply.headers["x-distil-reason"] == reason:
                    seen.append(reason)
                    return
            await asyncio.sleep(0.02)

    async def go(section: Any, student: Swapped, teacher: OpenAIServer) -> None:
        gateway = make_gateway(project, section, name="student", teachers=[teacher_of(teacher)])
        async with running(gateway) as session:
            await until(session, "confident")
            student.factor = 4.0
            await until(session, "student_changed")
            async with session.get("/readyz") as ready, session.get("/metrics") as metrics:
                state = await ready.json()
                assert ready.status == 200 and "nats a token" in state["student"]
                assert "distil_student_changed 1" in await metrics.text()
            student.factor = 1.0
            await until(session, "confident")
            async with session.get("/metrics") as metrics:
                assert "distil_student_changed 0" in await metrics.text()

    with Swapped() as student, OpenAIServer(key=None) as teacher:
        section = section_for(student, canary_minutes=0.001)
        calibrate.run(project, section, name="student")
        asyncio.run(go(section, student, teacher))
    assert seen == ["confident", "student_changed", "confident"]


def test_a_server_that_is_away_is_not_another_model(tmp_path: Path) -> None:
    """The student is not used until it was compared."""
    project = project_with(tmp_path, labeled=240, held_out=80)

    async def go(section: Any, teacher: OpenAIServer) -> str:
        gateway = make_gateway(project, section, name="student", teachers=[teacher_of(teacher)])
        async with running(gateway) as session, session.post(CHAT, json=chat_body("p=0.95 a")) as reply:
            return reply.headers["x-distil-reason"]

    with OpenAIServer(key=None) as teacher:
        with Swapped() as student:
            section = section_for(student)
            calibrate.run(project, section, name="student")
        assert asyncio.run(go(section, teacher)) == "student_changed"
