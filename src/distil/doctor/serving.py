"""Checks of calibration and gateway: does the promise still hold, and is what is served what was calibrated?"""

from __future__ import annotations

import shlex
from collections.abc import Callable

from distil.doctor.evidence import Evidence
from distil.doctor.finding import Finding, cure, unknown
from distil.serve.live.report import Serving, coverage_gap, retrain


def _round(name: str) -> list[str]:
    return ["distil collect --from-gateway", "distil run", shlex.join(["distil", "calibrate", name])]


def _each(evidence: Evidence, check: Callable[[Serving], Finding]) -> list[Finding] | Finding:
    rows = evidence.serving
    if not rows:
        return unknown("No student has been calibrated yet.", "distil calibrate")
    return [check(row) for row in rows]


def alarm(evidence: Evidence) -> Finding | list[Finding]:
    """The served error, estimated by audits, against the promise."""
    return _each(evidence, lambda row: _alarm(evidence, row))


def _alarm(evidence: Evidence, row: Serving) -> Finding:
    live = row.live
    if live is None:
        return Finding(level="unknown", seen=f"{row.name}: 0 answers of the student are promised anything.")
    if live.alarm:
        return Finding(
            level="problem",
            seen=f"{row.name}: {live.bad} of {live.audits} audited answers are bad, where at most {live.terms.risk:.0%} were "
            f"promised; the alarm went off at {live.alarm_at}{' and shut the gate' if live.closed else ''}. "
            f"{retrain(evidence.project, row)}".strip(),
            why="The requests or the student are not what they were at the calibration.",
            cure=cure(commands=_round(row.name)),
        )
    if not live.audits:
        return unknown(f"{row.name}: 0 answers were audited.")
    seen = f"{row.name}{row.error().replace(', live error', ': live error', 1)}."
    if live.changed:
        return Finding(
            level="warn",
            seen=seen,
            why="The last audits are worse than promised; by chance that happens once in 5,000 audits.",
            cure=cure(commands=["distil status"]),
        )
    return Finding(level="ok", seen=seen)


def certificate(evidence: Evidence) -> Finding | list[Finding]:
    """Calibrations that were refuted by their own test prompts, certify nothing, or are stale."""
    return _each(evidence, _certificate)


def _certificate(row: Serving) -> Finding:
    made = row.calibration
    if row.state == "stale":
        return Finding(
            level="warn",
            seen=f"{row.name}: calibrated on {made.labels} labels; {row.why}.",
            why="A threshold holds for what it was found with.",
            cure=cure(commands=[shlex.join(["distil", "calibrate", row.name])]),
        )
    if made.threshold is not None:
        return Finding(level="ok", seen=f"{row.name}: {row.calibrated()} ({made.labels} labels).")
    return Finding(
        level="warn",
        seen=f"{row.name}: {made.promise}",
        why="The test prompts refute what the validation prompts had shown."
        if made.refuted
        else "The student saves nothing so.",
        cure=cure(
            {"serve.risk": float(f"{min(0.5, 2 * made.risk):g}")}, [shlex.join(["distil", "calibrate", row.name])]
        ),
    )


def traffic(evidence: Evidence) -> Finding | list[Finding]:
    """Requests of production against the calibrated ones."""
    return _each(evidence, lambda row: _traffic(evidence, row))


def _traffic(evidence: Evidence, row: Serving) -> Finding:
    gateway = row.gateway
    if gateway is None:
        return unknown(f"{row.name}: no gateway has run yet.", shlex.join(["distil", "serve", row.name]))
    told, gap = list(gateway.drift), coverage_gap(row)
    if gap is not None:
        told.append(
            f"The student was sure of {gap[0]:.0%} of {gateway.eligible:,} requests, {gap[1]:.0%} of the labels."
        )
    if not told:
        return Finding(level="ok", seen=f"{row.name}: {row.served()}.")
    return Finding(
        level="warn",
        seen=f"{row.name}: {' '.join(dict.fromkeys(told))} {retrain(evidence.project, row)}".strip(),
        why="The promise holds for requests like the labels.",
        cure=cure(commands=_round(row.name)),
    )
