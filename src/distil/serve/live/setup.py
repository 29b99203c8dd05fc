"""Puts what watches a certified gateway beside it: the state that the audits so far have left, and the auditor."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import NamedTuple

from distil.errors import UserError
from distil.progress import dollars, say
from distil.records import Example, Prediction
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_records
from distil.runs.schemas.calibration import Calibration
from distil.runs.schemas.cost import read_cost
from distil.serve.calibration.acceptance import Similarity
from distil.serve.config import ServeConfig
from distil.serve.engines.base import Engine
from distil.serve.gateway import Gateway
from distil.serve.live.auditor import Auditor, Role
from distil.serve.live.drift import MIN_REFERENCE, VOCABULARY_PROMPTS, Drift
from distil.serve.live.heartbeat import Heartbeat, live_figures
from distil.serve.live.label import Label, Measure, NoRule, labeler, measure_of
from distil.serve.live.replay import replay
from distil.serve.live.shadow import Shadow
from distil.serve.policy import Policy
from distil.serve.wire import ChatReply, ChatRequest


class Candidate(NamedTuple):
    """A student for the shadow."""

    name: str
    engine: Engine
    policy: Policy
    calibration: Calibration


def watch_live(
    project: Project,
    section: ServeConfig,
    gateway: Gateway,
    calibration: Calibration | None,
    similarity: Similarity | None,
    candidate: Candidate | None = None,
) -> None:
    """Adds to a gateway: the auditor and the drift of the requests where a threshold is certified, and its state on the disk.

    candidate: the student in the shadow. Raises UserError when there is nothing that it could be compared with.
    """
    auditor: Auditor | None = None
    drift: Drift | None = None
    shadow: Shadow | None = None
    if calibration is not None and calibration.threshold is not None:
        auditor = _auditor(project, section, gateway, calibration, similarity)
        drift = _drift(project, calibration)
        gateway.watchers.append(auditor.watch)
        gateway.companions.append(auditor)
        gateway.live = partial(live_figures, auditor)
        if drift is not None:
            gateway.watchers.append(drift.watch)
    if candidate is not None:
        shadow = _shadow(project, section, gateway, auditor, candidate, similarity)
    heartbeat = Heartbeat(gateway, project.gateway_state(gateway.name), auditor, drift, shadow)
    gateway.watchers.append(heartbeat.watch)
    gateway.companions.append(heartbeat)


def _auditor(
    project: Project, section: ServeConfig, gateway: Gateway, calibration: Calibration, similarity: Similarity | None
) -> Auditor:
    state = replay(project, calibration, section.on_alarm)
    measure = _measure(project, calibration, similarity) if section.audit or state.closed else None
    share = 0.0 if measure is None else section.audit
    label: Label = _unknown if measure is None else labeler(measure.rule, similarity)
    if measure is not None:
        state.begin_with(measure.risk)
    auditor = Auditor(gateway, Role(gateway.name, state, label), project.audits, share)
    gateway.audit_share = auditor.least
    if share:
        say(f"distil serve: {share:.0%} of the student's answers are audited{_price(project, calibration, share)}.")
    if state.alarm:
        say(
            f"distil serve: the alarm of {state.alarm_at} is still in force: the served error was above {calibration.risk:.0%}. "
            + ("The teacher answers everything. " if state.closed else "")
            + "Retrain and run `distil calibrate` again."
        )
    return auditor


def _shadow(
    project: Project,
    section: ServeConfig,
    gateway: Gateway,
    auditor: Auditor | None,
    candidate: Candidate,
    similarity: Similarity | None,
) -> Shadow | None:
    """None for a candidate whose own alarm has gone off: what was compared before a restart is not known, what was refuted is."""
    name, made = candidate.name, candidate.calibration
    if auditor is None or not auditor.share:
        raise UserError(
            f"serve.shadow is {name}, and there are no audits to compare it by. It needs serve.fallback: calibrated, a certified "
            "threshold and serve.audit above 0; or leave serve.shadow out."
        )
    measure = _measure(project, made, similarity)
    if made.threshold is None or measure is None:
        raise UserError(
            f"serve.shadow is {name}, which has no threshold that could be audited. Run `distil calibrate {name}`."
        )
    state = replay(project, made, section.on_alarm)
    if state.alarm:
        say(
            f"distil serve: {name} stays out of the shadow of {gateway.name}: it has served, and its alarm of "
            f"{state.alarm_at} went off. Retrain it and run `distil calibrate {name}`, or leave serve.shadow out."
        )
        return None
    state.begin_with(measure.risk)
    role = Role(name, state, labeler(measure.rule, similarity))
    shadow = Shadow(gateway, auditor, name, candidate.engine, candidate.policy, role)
    gateway.watchers.append(shadow.watch)
    gateway.companions.append(shadow)
    say(
        f"distil serve: {name} answers in the shadow of {gateway.name}, and takes its place when it is shown to be no worse."
    )
    return shadow


def _unknown(request: ChatRequest, student: ChatReply, teacher: ChatReply) -> bool | None:
    """No label."""
    return None


def _drift(project: Project, calibration: Calibration) -> Drift | None:
    """None where too few calibrated prompts are left to compare with."""
    prompts = [example.prompt_messages for side in ("validation", "test") for example in _examples(project, side)]
    if len(prompts) < MIN_REFERENCE or calibration.labels < MIN_REFERENCE:
        return None
    trained = (example.prompt_messages for example in islice(_examples(project, "train"), VOCABULARY_PROMPTS))
    return Drift(prompts, trained, (calibration.served, calibration.labels))


def _examples(project: Project, side: str) -> Iterator[Example]:
    path = project.split(side)
    return read_examples(path) if path.exists() else iter(())


def _measure(project: Project, calibration: Calibration, similarity: Similarity | None) -> Measure | None:
    """How audits are labeled; None, with a line that says why, where they can't be."""
    path = project.calibration_predictions(calibration.student)
    predictions = read_records(path, Prediction) if path.exists() else iter(())
    try:
        measure = measure_of(calibration, list(_examples(project, "validation")), predictions, similarity)
    except NoRule as error:
        say(f"distil serve: no audits. {error}")
        return None
    if measure.note:
        say(f"distil serve: {measure.note}")
    return measure


def _price(project: Project, calibration: Calibration, share: float) -> str:
    """What audits cost a month, where `distil cost` knows the traffic."""
    cost = read_cost(project.cost)
    if cost is None or cost.teacher_month_usd is None:
        return ""
    month = share * calibration.coverage * cost.teacher_month_usd
    return f", which costs about {dollars(month)} a month at {cost.traffic.queries_per_month:,} requests"
