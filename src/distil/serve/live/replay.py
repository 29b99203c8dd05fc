"""The state that the audits on the disk have left. Needs no model and no gateway: also for `distil status` and the doctor."""

from __future__ import annotations

from distil.ids import content_id
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records
from distil.runs.schemas.audits import Audit
from distil.runs.schemas.calibration import Calibration
from distil.serve.live.state import LiveState, OnAlarm, Terms


def certificate_of(calibration: Calibration) -> str:
    """The id of a calibration: with a new one the evidence starts again."""
    return content_id("certificate", calibration.model_dump(mode="json"))


def replay(project: Project, calibration: Calibration, on_alarm: OnAlarm) -> LiveState:
    """The state that the audits of this calibration have left. It has a threshold. Raises UserError on a broken line."""
    assert calibration.threshold is not None
    certificate, delta = certificate_of(calibration), 1 - calibration.confidence
    state = LiveState(Terms(certificate, calibration.risk, delta, calibration.threshold, on_alarm))
    if project.audits.exists():
        for audit in read_records(project.audits, Audit):
            state.add(audit)
    return state
