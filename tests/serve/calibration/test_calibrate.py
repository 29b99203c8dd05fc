"""Calibration from files to a guarantee, what it refuses, and that the gateway keeps to it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from distil.errors import UserError
from distil.ids import content_id
from distil.records import Example, Message, Split
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_lines, write_records
from distil.runs.manifest import read_manifest, stage_state
from distil.serve.calibration import calibrate
from distil.serve.calibration.record import read_calibration
from distil.serve.config import ServeConfig
from distil.serve.engines.local import model_identity
from distil.serve.stage import make_gateway
from tests.serve.running import CHAT, StudentServer, ask, running, teacher_of
from tests.tiny import save_tiny
from tests.wire.openai import OpenAIServer


def example(number: int, confidence: float, split: Split, *, right: bool) -> Example:
    """A labeled prompt: the student's server is that confident of it, and says what the teacher said or not."""
    question = f"p={confidence:.3f} question {number}"
    answer = f"student: {question}" if right else "something else entirely"
    messages = [Message(role="user", content=question), Message(role="assistant", content=answer)]
    return Example(
        id=content_id("example", question), prompt_id=f"prompt_{number}", answer_id="a", messages=messages, split=split
    )


def project_with(folder: Path, labeled: int = 240, *, bad_below: float = 0.5, held_out: int = 80) -> Project:
    """Prompts with confidences from 0.002 to 1; the student is wrong exactly where it is less sure than `bad_below`."""
    project = Project(folder)
    for split, count, start in (("validation", labeled, 0), ("test", held_out, 10_000)):
        confidences = [(i * 37 % count + 1) / (count + 1) for i in range(count)]
        rows = [
            example(start + i, c, split, right=c >= bad_below)  # type: ignore[arg-type]
            for i, c in enumerate(confidences)
        ]
        write_records(project.split(split), rows)
    return project


def section_for(student: StudentServer, **serve: Any) -> ServeConfig:
    return ServeConfig(engine=f"{student.url}#student", risk=0.1, **serve)


def test_the_threshold_is_where_the_student_starts_to_fail(
    tmp_path: Path,
) -> None:
    """And the guarantee says what it means."""
    project = project_with(tmp_path)
    with StudentServer() as student:
        found = calibrate.run(project, section_for(student), name="s")
    assert found.threshold is not None and 0.45 <= found.threshold <= 0.55
    assert found.bad / found.served <= 0.1 and found.p_value <= 0.05
    assert found.coverage == pytest.approx(0.5, abs=0.05) and found.labels == 240
    assert found.test is not None and found.test.prompts == 80 and found.test.bad / found.test.served <= 0.1
    assert re.match(r"With 95% confidence, at most 10% of the answers .* are bad \(another label", found.promise)
    assert read_calibration(project, "s") == found
    manifest = read_manifest(project, "serve", "s")
    assert manifest is not None and manifest.notes["coverage"] == found.coverage
    assert len(list(read_lines(project.stage("serve", "s") / "predictions.jsonl"))) == 320


def test_the_gateway_applies_the_calibrated_threshold(tmp_path: Path) -> None:
    """Only at the calibrated temperature."""
    project = project_with(tmp_path)

    async def go(section: ServeConfig, teacher: OpenAIServer) -> list[tuple[str, str]]:
        gateway = make_gateway(project, section, name="student", teachers=[teacher_of(teacher)])
        found = []
        async with running(gateway) as session:
            for body in (ask("p=0.9 a"), ask("p=0.2 b"), ask("p=0.9 c", temperature=0.7)):
                async with session.post(CHAT, json=body) as reply:
                    found.append((reply.headers["x-distil-answered-by"], reply.headers["x-distil-reason"]))
        return found

    with StudentServer() as student, OpenAIServer(key=None) as teacher:
        section = section_for(student)
        calibrate.run(project, section, name="student")
        found = asyncio.run(go(section, teacher))
    assert found == [
        ("student", "confident"),
        ("teacher", "unsure"),
        ("teacher", "not_calibrated_at_temperature_0.7"),
    ]


def test_too_few_labels_give_the_number_missing(tmp_path: Path) -> None:
    """And the student answers nothing."""
    project = project_with(tmp_path, labeled=20, bad_below=0.0)
    with StudentServer() as student, OpenAIServer(key=None) as teacher:
        found = calibrate.run(project, section_for(student), name="s")
        gateway = make_gateway(project, section_for(student), name="s", teachers=[teacher_of(teacher)])
        assert not gateway.policy.uses_student
    assert found.threshold is None and found.coverage == 0.0
    assert found.labels_missing == 9  # 29 answers without a failure prove 10%
    assert "About 9 more labeled prompts are needed" in found.promise


def test_a_student_wrong_where_confident_serves_nothing(tmp_path: Path) -> None:
    project = project_with(tmp_path, bad_below=2.0)
    with StudentServer() as student:
        found = calibrate.run(project, section_for(student), name="s")
    assert found.threshold is None and found.labels_missing is None
    assert "even where the student is most confident" in found.promise and "Train a better student" in found.promise


def test_without_test_prompts_labeled_ones_make_the_grid(tmp_path: Path) -> None:
    """A quarter of them, which is then not tested on."""
    project = project_with(tmp_path, held_out=0)
    with StudentServer() as student:
        found = calibrate.run(project, section_for(student), name="s")
    assert found.test is None and found.threshold is not None
    assert 150 <= found.labels <= 210


def test_changed_settings_void_the_guarantee(tmp_path: Path) -> None:
    project = project_with(tmp_path)
    with StudentServer() as student, OpenAIServer(key=None) as teacher:
        section = section_for(student)
        calibrate.run(project, section, name="s")
        teachers = [teacher_of(teacher)]
        for change, words in (
            ({"risk": 0.2}, r"serve\.risk is 0\.2"),
            ({"score": "mean"}, r"serve\.score is mean"),
            ({"confidence": 0.9}, r"serve\.confidence is 0\.9"),
            ({"goal": 0.5}, r"serve\.goal is 0\.5"),
            ({"teacher_failure": "student"}, "voids the calibrated guarantee"),
            ({"engine": "http://127.0.0.1:1/v1#other"}, "has changed since it was calibrated"),
        ):
            with pytest.raises(UserError, match=words):
                make_gateway(project, section.model_copy(update=change), name="s", teachers=teachers)


def test_a_retrained_model_voids_the_guarantee(tmp_path: Path) -> None:
    project = project_with(tmp_path, labeled=24, held_out=20)
    model = save_tiny(project.model("s"))
    section = ServeConfig(default_max_tokens=2, risk=0.3)
    found = calibrate.run(project, section, name="s")
    assert found.threshold is None  # a random model is never right
    assert found.model == model_identity(str(model))
    assert stage_state(project, "serve", "s")[0] == "done"
    with OpenAIServer(key=None) as teacher:
        assert make_gateway(project, section, name="s", teachers=[teacher_of(teacher)])
        save_tiny(model, seed=1)
        with pytest.raises(UserError, match="has changed since it was calibrated"):
            make_gateway(project, section, name="s", teachers=[teacher_of(teacher)])
    assert stage_state(project, "serve", "s")[0] == "stale"


def test_missing_inputs_of_calibration_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Run `distil train --as s` first"):
        calibrate.run(Project(tmp_path), ServeConfig(), name="s")
    with StudentServer() as student:
        with pytest.raises(UserError, match="Run `distil curate` first"):
            calibrate.run(Project(tmp_path), section_for(student), name="s")
        student.logprobs = False
        with pytest.raises(UserError, match="gives no log-probabilities"):
            calibrate.run(project_with(tmp_path, labeled=4, held_out=0), section_for(student), name="s")
