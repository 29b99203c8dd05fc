"""Calibration from files to a guarantee, what it refuses, and that the gateway keeps to it."""

from __future__ import annotations

import asyncio
import math
import re
from pathlib import Path
from typing import Any

import pytest

from distil.errors import UserError
from distil.ids import content_id
from distil.records import Example, Message, Split
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_lines, write_records
from distil.runs.manifest import read_manifest, stage_run, stage_state
from distil.runs.schemas.attempts import read_attempts, share_of
from distil.runs.schemas.trained import choosing
from distil.serve.calibration import calibrate
from distil.serve.config import ServeConfig
from distil.serve.engines.local import model_identity
from distil.serve.stage import make_gateway, read_calibration
from tests.serve.running import CHAT, StudentServer, chat_body, running, teacher_of
from tests.tiny import save_tiny
from tests.wire.openai import OpenAIServer


def example(number: int, confidence: float, split: Split, *, right: bool) -> Example:
    """A labeled prompt: the student's server is that confident of it, and gives the teacher's answer or another."""
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
        calibration = calibrate.run(project, section_for(student), name="s")
    assert calibration.threshold is not None and 0.45 <= calibration.threshold <= 0.55
    assert calibration.bad / calibration.served <= 0.1 and calibration.p_value <= 0.05
    assert calibration.coverage == pytest.approx(0.5, abs=0.05) and calibration.labels == 240
    assert (
        calibration.test is not None
        and calibration.test.prompts == 80
        and calibration.test.bad / calibration.test.served <= 0.1
    )
    assert re.match(r"With 95% confidence, at most 10% of the answers .* are bad \(another label", calibration.promise)
    assert read_calibration(project, "s") == calibration
    manifest = read_manifest(project, "serve", "s")
    assert manifest is not None and manifest.notes["coverage"] == calibration.coverage
    assert len(list(read_lines(project.stage("serve", "s") / "predictions.jsonl"))) == 320


def test_the_gateway_applies_the_calibrated_threshold(tmp_path: Path) -> None:
    """Only at the calibrated temperature."""
    project = project_with(tmp_path)

    async def go(section: ServeConfig, teacher: OpenAIServer) -> list[tuple[str, str]]:
        gateway = make_gateway(project, section, name="student", teachers=[teacher_of(teacher)])
        deciders = []
        async with running(gateway) as session:
            for body in (chat_body("p=0.9 a"), chat_body("p=0.2 b"), chat_body("p=0.9 c", temperature=0.7)):
                async with session.post(CHAT, json=body) as reply:
                    deciders.append((reply.headers["x-distil-answered-by"], reply.headers["x-distil-reason"]))
        return deciders

    with StudentServer() as student, OpenAIServer(key=None) as teacher:
        section = section_for(student)
        calibrate.run(project, section, name="student")
        deciders = asyncio.run(go(section, teacher))
    assert deciders == [
        ("student", "confident"),
        ("teacher", "unsure"),
        ("teacher", "not_calibrated_at_this_temperature"),
    ]


def test_test_prompts_that_refute_the_threshold_void_it(tmp_path: Path) -> None:
    """The validation prompts look fine; on the test prompts the student is wrong where it is sure."""
    project = project_with(tmp_path)
    rows = [example(20_000 + n, 0.55 + n / 200, "test", right=n % 3 > 0) for n in range(60)]
    write_records(project.split("test"), rows)
    with StudentServer() as student, OpenAIServer(key=None) as teacher:
        section = section_for(student)
        calibration = calibrate.run(project, section, name="s")
        gateway = make_gateway(project, section, name="s", teachers=[teacher_of(teacher)])
    assert calibration.threshold is None and calibration.coverage == 0 and calibration.refuted
    assert calibration.test is not None and calibration.test.bad >= 19 and calibration.test.p_value < 0.05
    assert f"refute the threshold that the validation prompts allowed: {calibration.test.bad} of" in calibration.promise
    assert not gateway.policy.uses_student


def test_too_few_labels_give_the_number_missing(tmp_path: Path) -> None:
    """And the student answers nothing."""
    project = project_with(tmp_path, labeled=20, bad_below=0.0)
    with StudentServer() as student, OpenAIServer(key=None) as teacher:
        calibration = calibrate.run(project, section_for(student), name="s")
        gateway = make_gateway(project, section_for(student), name="s", teachers=[teacher_of(teacher)])
        assert not gateway.policy.uses_student
    assert calibration.threshold is None and calibration.coverage == 0.0
    # 47 answers without a failure prove 10% with the second attempt's share of the error, 0.05 * 6 / (pi^2 * 4)
    assert calibration.labels_missing == 27
    assert "About 27 more labeled prompts are needed" in calibration.promise


def test_a_student_wrong_where_confident_serves_nothing(tmp_path: Path) -> None:
    project = project_with(tmp_path, bad_below=2.0)
    with StudentServer() as student:
        calibration = calibrate.run(project, section_for(student), name="s")
    assert calibration.threshold is None and calibration.labels_missing is None
    assert (
        "even where the student is most confident" in calibration.promise
        and "Train a better student" in calibration.promise
    )


def test_without_test_prompts_labeled_ones_make_the_grid(tmp_path: Path) -> None:
    """A quarter of them, which is then not tested on."""
    project = project_with(tmp_path, held_out=0)
    with StudentServer() as student:
        calibration = calibrate.run(project, section_for(student), name="s")
    assert calibration.test is None and calibration.threshold is not None
    assert 150 <= calibration.labels <= 210


def test_changed_settings_void_the_guarantee(tmp_path: Path) -> None:
    project = project_with(tmp_path)
    with StudentServer() as student, OpenAIServer(key=None) as teacher:
        section = section_for(student)
        calibrate.run(project, section, name="s")
        teachers = [teacher_of(teacher)]
        for change, message in (
            ({"risk": 0.2}, r"serve\.risk is 0\.2"),
            ({"score": "mean"}, r"serve\.score is mean"),
            ({"confidence": 0.9}, r"serve\.confidence is 0\.9"),
            ({"goal": 0.5}, r"serve\.goal is 0\.5"),
            ({"teacher_failure": "student"}, "voids the calibrated guarantee"),
            (
                {"engine": "http://127.0.0.1:1/v1#other"},
                r"was calibrated behind .* to be served behind http://127\.0\.0\.1:1",
            ),
        ):
            with pytest.raises(UserError, match=message):
                make_gateway(project, section.model_copy(update=change), name="s", teachers=teachers)


def test_a_retrained_model_voids_the_guarantee(tmp_path: Path) -> None:
    project = project_with(tmp_path, labeled=24, held_out=20)
    model = save_tiny(project.model("s"))
    section = ServeConfig(default_max_tokens=2, risk=0.3)
    calibration = calibrate.run(project, section, name="s")
    assert calibration.threshold is None  # a random model is never right
    assert calibration.model == model_identity(str(model))
    assert stage_state(project, "serve", "s")[0] == "done"
    with OpenAIServer(key=None) as teacher:
        assert make_gateway(project, section, name="s", teachers=[teacher_of(teacher)])
        save_tiny(model, seed=1)
        with pytest.raises(UserError, match="has changed since it was calibrated"):
            make_gateway(project, section, name="s", teachers=[teacher_of(teacher)])
    assert stage_state(project, "serve", "s")[0] == "stale"


def test_attempts_share_the_error(tmp_path: Path) -> None:
    """More labels, another score, risk or student; the same again is free, and no deleted file takes one back."""
    with StudentServer() as student:

        def attempt(labeled: int = 240, name: str = "s", fails_below: float = 0.5, **serve: Any) -> tuple[int, float]:
            section = section_for(student).model_copy(update=serve)
            project = project_with(tmp_path, labeled, bad_below=fails_below)
            calibration = calibrate.run(project, section, name=name)
            return calibration.attempt, calibration.spent

        first = attempt()
        assert first == (1, pytest.approx(0.05 * 6 / math.pi**2)) == attempt()
        assert attempt(300)[0] == 2
        Project(tmp_path).calibration("s").unlink()
        assert attempt(300, score="mean") == (3, pytest.approx(0.05 * 6 / (math.pi * 3) ** 2))
        assert attempt(300, risk=0.2)[0] == 4
        assert attempt(300, name="t", fails_below=0.4)[0] == 5
        assert attempt(300)[0] == 2 and attempt() == first
    kept = read_attempts(Project(tmp_path).attempts)
    assert [(a.number, a.student, a.labels) for a in kept] == [
        (1, "s", 240), (2, "s", 300), (3, "s", 300), (4, "s", 300), (5, "t", 300),
    ]  # fmt: skip
    assert math.fsum(share_of(k) for k in range(1, 100_000)) == pytest.approx(1, abs=1e-4)


def test_a_spoilt_line_of_attempts_is_named(tmp_path: Path) -> None:
    project = project_with(tmp_path, 24, held_out=20)
    project.attempts.parent.mkdir(parents=True)
    project.attempts.write_text('{"number": "first"}\n')
    with StudentServer() as student, pytest.raises(UserError, match=r"attempts\.jsonl, line 1: field 'number'"):
        calibrate.run(project, section_for(student), name="s")


@pytest.mark.parametrize("chose", [True, False])
def test_prompts_that_chose_the_checkpoint_are_no_labels(tmp_path: Path, chose: bool) -> None:
    """With their whole groups; a training without a note of them is refused."""
    project = project_with(tmp_path)
    validation = list(read_examples(project.split("validation")))
    grouped = [e.model_copy(update={"group": f"g{n // 4}"}) for n, e in enumerate(validation)]
    write_records(project.split("validation"), grouped)
    with stage_run(project, "train", {"early_stopping": 1}, "s") as stage:
        if chose:
            stage.notes["chose"] = [e.prompt_id for e in choosing(grouped)[:50]]
    with StudentServer() as student:
        if not chose:
            with pytest.raises(UserError, match=r"was chosen by validation prompts .* distil train --as s --force"):
                calibrate.run(project, section_for(student), name="s")
            return
        calibration = calibrate.run(project, section_for(student), name="s")
    assert calibration.left_out == 52 and calibration.labels == 240 - 52  # 50 prompts belong to 13 groups of four


def test_early_stopping_leaves_whole_groups_unseen() -> None:
    rows = [example(n, 0.5, "validation", right=True) for n in range(400)]
    rows = [row.model_copy(update={"group": f"g{n // 2}"}) if n < 200 else row for n, row in enumerate(rows)]
    chosen = choosing(rows)
    assert 150 < len(chosen) < 250
    assert {row.group for row in chosen} - {None} == {r.group for r in rows if r.group and r in chosen}
    assert not {row.group for row in chosen if row.group} & {row.group for row in rows if row not in chosen}
    assert choosing(rows[:1]) == rows[:1]  # too few to be halved


def test_missing_inputs_of_calibration_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Run `distil train --as s` first"):
        calibrate.run(Project(tmp_path), ServeConfig(), name="s")
    with StudentServer() as student:
        with pytest.raises(UserError, match="Run `distil curate` first"):
            calibrate.run(Project(tmp_path), section_for(student), name="s")
        student.logprobs = False
        with pytest.raises(UserError, match="gives no log-probabilities"):
            calibrate.run(project_with(tmp_path, labeled=4, held_out=0), section_for(student), name="s")
