"""`distil cost`: what was spent (the ledger), what a month costs with the teacher, with the student, and with both.

Reads the ledger, evaluation summaries and the calibration; writes work/cost/summary.json. It pays for nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from distil.calls.config import TeacherConfig
from distil.calls.fine_tuning.served import tuned
from distil.calls.ledger.store import Ledger
from distil.calls.prices import price_of
from distil.cost.arithmetic import (
    break_even_coverage,
    describe_payback,
    gateway_month,
    hosted_month,
    payback_days,
    tokens_month,
)
from distil.cost.config import CostConfig
from distil.cost.student import student_month
from distil.errors import UserError
from distil.progress import dollars
from distil.records import Call
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_document, write_json
from distil.runs.manifest import stage_run
from distil.runs.schemas.calibration import Calibration
from distil.runs.schemas.cost import CostSummary, Option, Traffic
from distil.runs.schemas.provider_job import Serving
from distil.runs.schemas.summary import read_summary

WHAT_IF_COVERAGE = 0.7


def run(
    project: Project, section: CostConfig, teachers: Sequence[TeacherConfig], *, name: str | None = None
) -> CostSummary:
    """Prices the project. `name` = which student's speed and calibration (default: the last one trained).

    Raises UserError when there is no teacher, no price, or neither calls nor token counts in the config.
    """
    with stage_run(project, "cost", section.model_dump(mode="json")) as stage:
        student = name or next(reversed(project.students()), None)
        for path in _evidence(project, student):
            stage.reads(path)
        summary = _summarize(project, section, teachers, student)
        write_json(project.cost, summary.model_dump(mode="json"))
        stage.wrote(project.cost)
        stage.notes["student"] = student
    return summary


def _evidence(project: Project, student: str | None) -> list[Path]:
    """The files behind the figures. answers.jsonl represents the ledger, whose bytes change at every checkpoint of its log."""
    files = [project.answers]
    if student:
        files += [project.summary(student), project.calibration(student)]
    return [path for path in files if path.exists()]


def _summarize(
    project: Project, section: CostConfig, teachers: Sequence[TeacherConfig], student: str | None
) -> CostSummary:
    if not teachers:
        raise UserError(
            "No teacher is configured, so there is no cost to replace. Add one under `teachers:` in distil.yaml."
        )
    teacher = teachers[0]
    calls = _calls(project)
    price = price_of(teacher.model, teacher.price, "standard")
    traffic, error_share = _traffic(section, [c for c in calls if c.model == teacher.model and c.status == "answered"])
    before = tokens_month(
        traffic.queries_per_month, traffic.input_tokens, traffic.output_tokens, price.input, price.output
    )
    warnings: list[str] = []
    after = _student_month(project, section, traffic, student, warnings)
    spent: dict[str, float] = {}
    for call in calls:
        spent[call.purpose] = spent.get(call.purpose, 0.0) + call.usd
    one_time = sum(usd for purpose, usd in spent.items() if purpose != "serve") + section.training_usd
    queries = traffic.queries_per_month
    return CostSummary(
        spent=spent,
        one_time_usd=one_time,
        teacher=teacher.model,
        price_input=price.input,
        price_output=price.output,
        price_source=f"{price.source} {price.date or ''}".strip(),
        traffic=traffic,
        teacher_month_usd=before,
        teacher_month_error_usd=before * error_share,
        per_million_requests={
            "teacher": before / queries * 1e6,
            "student": None if after is None else after / queries * 1e6,
        },
        options=_options(project, section, before, after, one_time, student),
        break_even_coverage=None
        if after is None
        else break_even_coverage(
            after, before, deferred_cost_ratio=section.deferred_cost_ratio, audit_share=section.audit_share
        ),
        warnings=warnings,
    )


def _calls(project: Project) -> list[Call]:
    if not project.ledger.exists():
        return []
    with Ledger(project.ledger) as ledger:
        return list(ledger.calls())


def _traffic(section: CostConfig, calls: list[Call]) -> tuple[Traffic, float]:
    """Means of the measured calls where the config is silent, and the relative half width of their 95% interval."""
    if not calls and (section.input_tokens is None or section.output_tokens is None):
        raise UserError(
            "The ledger has no answered call of the teacher, so the tokens per request are unknown. "
            "Run `distil collect` first, or set both: --set cost.input_tokens=800 --set cost.output_tokens=200."
        )
    inputs = [c.usage.input_tokens for c in calls]
    outputs = [c.usage.output_tokens for c in calls]
    traffic = Traffic(
        queries_per_month=section.queries_per_month,
        input_tokens=section.input_tokens if section.input_tokens is not None else _mean(inputs),
        output_tokens=section.output_tokens if section.output_tokens is not None else _mean(outputs),
        measured_calls=len(calls),
    )
    totals = [i + o for i, o in zip(inputs, outputs, strict=True)]
    given = section.input_tokens is not None and section.output_tokens is not None
    if given or len(totals) < 2 or _mean(totals) == 0:
        return traffic, 0.0
    mean = _mean(totals)
    variance = sum((t - mean) ** 2 for t in totals) / (len(totals) - 1)
    return traffic, 1.96 * math.sqrt(variance / len(totals)) / mean


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _student_month(
    project: Project, section: CostConfig, traffic: Traffic, student: str | None, warnings: list[str]
) -> float | None:
    host = section.student_host
    serving = tuned(project.provider_job(student), student) if student is not None else None
    if host is None and serving is not None:
        return _provider_month(serving, traffic, warnings)
    if host is None:
        warnings.append(
            "The student's cost is unknown. Set where it will run, such as --set cost.student_host.usd_per_hour=0.6."
        )
        return None
    by_token = host.input is not None or host.output is not None
    if host.usd_per_hour is None and not by_token:
        raise UserError(
            "cost.student_host needs usd_per_hour (a machine) or input and output (a provider's $ per million tokens)."
        )
    speed = None if by_token else _measured_speed(project, student)
    month = student_month(
        host, traffic.queries_per_month, traffic.input_tokens, traffic.output_tokens, measured_speed=speed
    )
    if month is None:
        warnings.append(
            "The student's speed is unknown: run `distil evaluate`, or add --set cost.student_host.tokens_per_second=N."
        )
    return month


def _provider_month(serving: Serving, traffic: Traffic, warnings: list[str]) -> float | None:
    """By the token where the provider bills so; else one deployment for the whole month, which is the least."""
    if not serving.dedicated and serving.input is not None and serving.output is not None:
        return tokens_month(
            traffic.queries_per_month, traffic.input_tokens, traffic.output_tokens, serving.input, serving.output
        )
    if serving.usd_per_hour is None:
        warnings.append(
            f"What a deployment of {serving.model} costs is unknown ({serving.source}). Set it, such as --set "
            "cost.student_host.usd_per_hour=1.7."
        )
        return None
    warnings.append(
        f"The student's month is one deployment of {serving.model} at {dollars(serving.usd_per_hour)} an hour, day and night "
        f"({serving.source}); more traffic may need more of them. Set your own: --set cost.student_host.usd_per_hour=N."
    )
    return hosted_month(serving.usd_per_hour, 1)


def _measured_speed(project: Project, student: str | None) -> float | None:
    if student is None or not project.summary(student).exists():
        return None
    speed = read_summary(project.summary(student)).speed.get(student)
    return speed.tokens_per_second if speed else None


def _options(
    project: Project, section: CostConfig, before: float, after: float | None, one_time: float, student: str | None
) -> list[Option]:
    label = student or "student"
    options = [
        Option(
            name="teacher only", coverage=0.0, coverage_source="all", student_usd=0.0, teacher_usd=before, total_usd=before,
            saving_usd=0.0, payback_days=None, payback="-",
        )
    ]  # fmt: skip
    for coverage, source in [(1.0, "all"), _coverage(project, section, student)]:
        month = gateway_month(
            before,
            after or 0.0,
            coverage,
            deferred_cost_ratio=section.deferred_cost_ratio,
            audit_share=section.audit_share,
        )
        saving = before - month.total
        days = payback_days(one_time, saving)
        options.append(
            Option(
                name=f"{label} alone" if coverage == 1.0 else f"{label} + teacher",
                coverage=coverage,
                coverage_source=source,
                student_usd=after,
                teacher_usd=month.teacher,
                total_usd=None if after is None else month.total,
                saving_usd=None if after is None else saving,
                payback_days=None if after is None else days,
                payback="unknown" if after is None else describe_payback(days),
            )
        )
    return options


def _coverage(project: Project, section: CostConfig, student: str | None) -> tuple[float, str]:
    if section.coverage is not None:
        return section.coverage, "config"
    if student is not None and project.calibration(student).exists():
        path = project.calibration(student)
        return read_document(path, Calibration, command=f"distil calibrate {student}").coverage, "calibrated"
    return WHAT_IF_COVERAGE, "what-if"
