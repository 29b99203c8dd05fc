"""What is known of a student's calibration and of its gateway, from files alone: for `distil status` and the doctor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from distil.calls.config import TeacherConfig
from distil.judging.settings import Settings
from distil.progress import dollars
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_document
from distil.runs.known_hashes import KnownHashes
from distil.runs.manifest import State
from distil.runs.schemas.calibration import Calibration
from distil.runs.schemas.cost import read_cost
from distil.runs.schemas.gateway_state import GatewayState, read_gateway_state
from distil.serve.certificate.depends import Subject, void
from distil.serve.certificate.reasons import SURE
from distil.serve.config import ServeConfig
from distil.serve.live.replay import replay
from distil.serve.live.state import LiveState

FAR = 0.15
"""Distance between the share that the student answers and the calibrated one from which it is worth a line."""
ENOUGH = 100
"""Requests from which that share says something."""


class Serving(NamedTuple):
    """One student."""

    name: str
    calibration: Calibration
    state: State
    """Of the calibration: stale when anything has changed that it depends on."""
    why: str
    live: LiveState | None
    """What the audits have left; None where nothing is certified."""
    gateway: GatewayState | None
    """The last one."""

    @property
    def gateway_word(self) -> str:
        """running | stopped | ALARM."""
        if self.live is not None and self.live.alarm:
            return "ALARM"
        return "running" if self.gateway is not None and self.gateway.running else "stopped"

    def calibrated(self) -> str:
        """The calibration in one line."""
        if self.state == "stale":
            return self.why
        made = self.calibration
        if made.threshold is None:
            return "no threshold is certified: the teacher answers everything"
        return (
            f"at most {made.risk:.0%} bad at {made.confidence:.0%} confidence, for {made.coverage:.0%} of the requests"
        )

    def served(self) -> str:
        """The gateway in one line."""
        gateway = self.gateway
        if gateway is None:
            return "has not run yet"
        when = (
            f"running since {_minute(gateway.started)}" if gateway.running else f"ran until {_minute(gateway.updated)}"
        )
        total = gateway.by_student + gateway.by_teacher
        share = f", {gateway.by_student / total:.0%} by the student" if total else ""
        return f"{when} UTC, {total:,} requests{share}{self.error()}"

    def error(self) -> str:
        """The live error as the rest of a sentence."""
        if self.live is None or self.live.error is None:
            return ""
        low, high = self.live.interval()
        words = {"alarm": "; ALARM", "closed": "; ALARM: the gate is shut", "changed": "; the last audits look worse"}
        audits = f"{self.live.audits:,} audits"
        return f", live error {self.live.error:.1%} ({low:.1%} to {high:.1%}, {audits}){words.get(self.live.word, '')}"


def serving(
    project: Project,
    section: ServeConfig,
    teachers: Sequence[TeacherConfig] = (),
    system: str | None = None,
    judge: Settings | None = None,
) -> list[Serving]:
    """Every student that was calibrated. system: `prompts.system`; judge: the config's for calibrations.

    Raises UserError on a file that can't be read.
    """
    rows, known = [], KnownHashes(project)
    for name in project.calibrated():
        calibration = read_document(project.calibration(name), Calibration, command=f"distil calibrate {name}")
        served = section
        if section.fallback != "calibrated":  # other settings are not in use, and change nothing
            used = {key: getattr(calibration, key) for key in ("risk", "confidence", "score")}
            served = section.model_copy(update=used | {"bad": "auto", "goal": None})
        if section.engine is None and not project.model(name).is_dir():
            served = served.model_copy(update={"engine": calibration.engine})  # tuned at a provider
        reason = void(calibration, Subject(project, name, served, teachers, system, judge), hash_of=known.sha256)
        live = None if calibration.threshold is None else replay(project, calibration, section.on_alarm)
        gateway = read_gateway_state(project.gateway_state(name))
        rows.append(Serving(name, calibration, "stale" if reason else "done", reason or "", live, gateway))
    return rows


def coverage_gap(row: Serving) -> tuple[float, float] | None:
    """(share that the student was sure of, that of the calibration) where they are far apart; None where not, or not known."""
    gateway = row.gateway
    if gateway is None or gateway.eligible < ENOUGH or row.calibration.threshold is None:
        return None
    sure = sum(gateway.reasons.get(reason, 0) for reason in SURE)
    share = sure / gateway.eligible
    return (share, row.calibration.coverage) if abs(share - row.calibration.coverage) >= FAR else None


def retrain(project: Project, row: Serving) -> str:
    """Why to retrain now, and when that is paid back as far as `distil cost` knows; "" where there is no reason."""
    gateway, live = row.gateway, row.live
    reasons = []
    if live is not None and live.alarm:
        reasons.append("the alarm has gone off")
    if gateway is not None and gateway.drift:
        reasons.append("requests have changed")
    if (gap := coverage_gap(row)) is not None and gap[0] < gap[1]:
        reasons.append(f"the student is sure of {gap[0]:.0%} instead of {gap[1]:.0%}")
    if not reasons:
        return ""
    return f"Retrain now: {' and '.join(reasons)}.{_payback(project, row)}"


def _payback(project: Project, row: Serving) -> str:
    cost = read_cost(project.cost)
    if cost is None or cost.teacher_month_usd is None:
        return ""
    gap = coverage_gap(row)
    now = 0.0 if row.live is not None and row.live.closed else gap[0] if gap else row.calibration.coverage
    month = (row.calibration.coverage - now) * cost.teacher_month_usd
    if month <= 0:
        return ""
    days = 30.4 * cost.one_time_usd / month
    return (
        f" It saves up to {dollars(month)} a month that the teacher is paid instead; at the price of the last round "
        f"({dollars(cost.one_time_usd)}) it is paid back in {days:,.0f} days."
    )


def _minute(time: str) -> str:
    return time[:16].replace("T", " ")
