"""What `distil doctor` and `distil status` say of calibrations and gateways, from their files alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from distil.cli.status import command as status
from distil.config import load_config
from distil.doctor import serving
from distil.doctor.evidence import Evidence
from distil.runs.artifacts import Project
from distil.runs.jsonl import write_json, write_records
from distil.runs.manifest import stage_run
from distil.runs.processes import this_process
from distil.runs.schemas.audits import Audit
from distil.runs.schemas.calibration import Calibration, HeldOutCheck
from distil.runs.schemas.gateway_state import GatewayState
from distil.runs.schemas.shape import Shape
from distil.serve.certificate.depends import Subject, facts, sealed
from distil.serve.live.replay import certificate_of
from tests.report.sample import calibration, make_project, write_cost
from tests.serve.live.test_state import audit

SHAPE = Shape(
    temperature=0.0, max_tokens=500, answer_tokens=100, system=None, system_characters=0, tools=None, response_format=None,
    turns=1, last=["user"], characters=(1, 1000),
)  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = make_project(tmp_path / "p", train=60, test=60, students=("sft",))
    write_cost(made)
    return made


def calibrate(project: Project, **changes: object) -> Calibration:
    """A calibration of `sft` that is up to date."""
    found = calibration("sft").model_copy(update={"threshold": 0.8, "score": "lowest_tenth", "shape": SHAPE} | changes)
    config = load_config(project)
    made = sealed(found, facts(Subject(project, "sft", config.serve, config.teachers, config.prompts.system)))
    with stage_run(project, "serve", {}, name="sft") as stage:
        stage.reads(project.split("validation"))
        write_json(project.calibration("sft"), made.model_dump(mode="json"))
        stage.wrote(project.calibration("sft"))
    return made


def audited(project: Project, made: Calibration, bad: int, good: int) -> None:
    lines: list[Audit] = [
        audit(bad=number >= good, certificate=certificate_of(made), threshold=0.8) for number in range(bad + good)
    ]
    write_records(project.audits, lines)


def gateway(project: Project, **changes: object) -> None:
    """A running gateway that has answered 400 requests, 280 by the student."""
    state = {
        "student": "sft", **this_process()._asdict(), "mode": "calibrated", "threshold": 0.8, "stopped": False, "errors": 0,
        "started": "2026-11-29T04:00:00+00:00", "updated": "2026-11-29T05:00:00+00:00", "by_student": 280,
        "by_teacher": 120, "eligible": 400, "reasons": {"confident": 280, "unsure": 120}, "live": None, "drift": [],
    }  # fmt: skip
    project.gateway_state("sft").parent.mkdir(parents=True, exist_ok=True)
    made = GatewayState.model_validate(state | changes)
    write_json(project.gateway_state("sft"), made.model_dump(mode="json"))


def findings(project: Project) -> dict[str, tuple[str, str]]:
    """Check -> (level, seen) of the only student."""
    evidence, found = Evidence(project), {}
    for name in ("alarm", "certificate", "traffic"):
        result = getattr(serving, name)(evidence)
        (one,) = result if isinstance(result, list) else [result]
        found[name] = (one.level, one.seen)
    return found


def shown(project: Project) -> str:
    ran = CliRunner().invoke(status, ["--project", str(project.root)], catch_exceptions=False)
    assert ran.exit_code == 0
    return " ".join(ran.output.split())


def test_without_a_calibration_nothing_is_known(project: Project) -> None:
    assert {level for level, _ in findings(project).values()} == {"unknown"}
    assert "calibrate" not in shown(project).split("Next:")[0]


def test_a_promise_that_holds(project: Project) -> None:
    audited(project, calibrate(project), bad=2, good=98)
    gateway(project)
    found = findings(project)
    assert {level for level, _ in found.values()} == {"ok"}
    assert "live error 2.0%" in found["alarm"][1].replace(": ", " ") and "100 audits" in found["alarm"][1]
    text = shown(project)
    assert "running since 2026-11-29 04:00 UTC, 400 requests, 70% by the student" in text
    assert "at most 5% bad at 95% confidence, for 70% of the requests" in text and "Retrain" not in text


def test_an_alarm_is_a_problem_with_its_payback(project: Project) -> None:
    audited(project, calibrate(project), bad=20, good=20)
    gateway(project, stopped=True)
    found = findings(project)
    level, seen = found["alarm"]
    assert level == "problem" and "shut the gate" in seen and "Retrain now: the alarm has gone off" in seen
    assert "paid back in" in seen
    text = shown(project)
    assert "ALARM" in text and "ran until 2026-11-29 05:00" in text and "Retrain now" in text


def test_a_stale_a_refuted_and_an_empty_calibration(project: Project) -> None:
    test = HeldOutCheck(prompts=40, served=40, bad=14, p_value=0.001)
    calibrate(project, threshold=None, test=test, promise="The test prompts refute the threshold.")
    found = findings(project)
    assert found["certificate"][0] == "warn" and "refute" in found["certificate"][1]
    assert found["alarm"][0] == "unknown" and "no threshold is certified" in shown(project)
    calibrate(project)
    lines = project.split("validation").read_text().splitlines()
    project.split("validation").write_text("\n".join(lines[1:]) + "\n")
    level, seen = findings(project)["certificate"]
    assert level == "warn" and "The validation prompts or their answers" in seen
    assert "stale" in shown(project)


def test_a_calibration_of_an_older_model_is_stale(project: Project) -> None:
    model = project.model("sft")
    model.mkdir(parents=True)
    (model / "model.safetensors").write_bytes(b"first")
    calibrate(project)
    assert findings(project)["certificate"][0] == "ok"
    (model / "model.safetensors").write_bytes(b"trained again")
    level, seen = findings(project)["certificate"]
    assert level == "warn" and "has changed since it was calibrated (weights)" in seen


def test_other_traffic_than_calibrated(project: Project) -> None:
    calibrate(project)
    reasons = {"confident": 80, "unsure": 320}
    gateway(
        project, reasons=reasons, by_student=80, by_teacher=320, drift=["Requests are longer than the calibrated ones."]
    )
    level, seen = findings(project)["traffic"]
    assert level == "warn" and "sure of 20% of 400 requests, 70% of the labels" in seen and "longer" in seen
    assert "Retrain now: requests have changed and the student is sure of 20% instead of 70%" in seen


def test_a_gateway_file_of_another_version_is_no_gateway(project: Project) -> None:
    calibrate(project)
    project.gateway_state("sft").write_text(json.dumps({"student": "sft"}))
    assert findings(project)["traffic"][0] == "unknown"
