"""`distil cost`: what was spent (the ledger), what a month costs with the teacher, with the student, and with both.

Reads the ledger, evaluation summaries and the calibration; writes work/cost/summary.json. It pays for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from distil.calls.config import TeacherConfig
from distil.calls.prices import PriceQuote, price_changes, quotes_of_day
from distil.cost.arithmetic import break_even_coverage, hosted_month, tokens_month
from distil.cost.config import CostConfig
from distil.cost.facts import Facts, gather
from distil.cost.latency import latencies
from distil.cost.options import Means, Plan, Sums, break_even_queries, expected_saving, options, shares, tornado
from distil.cost.requests import dollars_of
from distil.cost.sampling import draws_of_means, interval
from distil.cost.student import Host, hosts_of, machines
from distil.progress import dollars, say
from distil.runs.artifacts import Project
from distil.runs.jsonl import write_json
from distil.runs.manifest import stage_run
from distil.runs.schemas.cost import CostSummary, PriceChange, Traffic
from distil.runs.schemas.provider_job import Serving

WHAT_IF_COVERAGE = 0.7
YEAR = 365  # days


def run(
    project: Project, section: CostConfig, teachers: Sequence[TeacherConfig], *, name: str | None = None
) -> CostSummary:
    """Prices the project. `name` = which student's speed and calibration (default: the last one trained).

    Where nothing can be written, it only looks. Raises UserError when there is no teacher, no price, or neither calls nor token
    counts in the config.
    """
    student = name or next(reversed(project.students()), None)
    if not project.writable():
        say(f"{project.root} is read-only: this bill is shown and not kept.")
        return _summarize(project, section, teachers, student)
    with stage_run(project, "cost", section.model_dump(mode="json")) as stage:
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
    project: Project, section: CostConfig, teachers: Sequence[TeacherConfig], name: str | None
) -> CostSummary:
    facts = gather(project, section, teachers, name)
    columns = facts.columns()
    coverage, source = _coverage(facts)
    sums = Sums(
        section.queries_per_month, section.deferred_cost_ratio, section.audit_share, section.retraining_usd,
        section.teacher_host, facts.priced,
    )  # fmt: skip
    spent = facts.spent()
    plan = Plan(
        sums,
        Means(*(sum(column) / len(column) for column in columns)),
        draws_of_means(columns),
        one_time=sum(usd for purpose, usd in spent.items() if purpose != "serve") + section.training_usd,
        label=name or "student",
        coverage=coverage,
        coverage_source=source,
        not_allowed=_not_allowed(facts, source),
        today=datetime.now(UTC).date(),
    )
    ways = _ways(facts)
    after = ways[0].month(sums.queries, plan.means.input_tokens, plan.means.output_tokens) if ways else None
    before = sums.teacher(plan.means.usd) if sums.priced else None
    return CostSummary.model_validate(
        {
            **_teacher_s_part(facts, plan, before),
            "spent": spent,
            "one_time_usd": plan.one_time,
            "traffic": _traffic(facts, plan.means),
            "per_million_requests": {
                "teacher": None if before is None else before / sums.queries * 1e6,
                "student": None if after is None else after / sums.queries * 1e6,
            },
            "options": options(plan, ways),
            "break_even_coverage": None
            if after is None or before is None
            else break_even_coverage(
                after, before, deferred_cost_ratio=sums.deferred_cost_ratio, audit_share=sums.audit_share
            ),
            **(_outlook(facts, plan, ways[0]) if ways and sums.priced else {}),
            "latency": latencies(project, facts.calls, facts.teacher.model, name, coverage),
            "assumptions": _assumptions(facts, plan, ways),
        }
    )


def _teacher_s_part(facts: Facts, plan: Plan, before: float | None) -> dict[str, object]:
    """The bill before, and what changes it."""
    quotes = [quote for _, quote in facts.quotes]
    within = interval(plan.draws, lambda usd, *_: plan.sums.teacher(usd)) if before is not None else None
    by_token = facts.priced and facts.section.teacher_host is None
    hours: list[float] = []
    if by_token and len(quotes) > 1:
        hours = [plan.sums.queries * _mean(dollars_of(facts.requests, [(1.0, quote)])) for quote in quotes]
    prices = _prices(facts.quotes)
    return {
        "teacher": facts.teacher.model,
        "price_input": prices[0] if by_token else None,
        "price_output": prices[1] if by_token else None,
        "price_source": f"{quotes[0].source} {quotes[0].date}".strip(),
        "teacher_month_usd": before,
        "teacher_month_error_usd": (within[1] - within[0]) / 2 if within else 0.0,
        "teacher_month_low_usd": within[0] if within else None,
        "teacher_month_high_usd": within[1] if within else None,
        "cheapest_hour_usd": min(hours, default=None),
        "dearest_hour_usd": max(hours, default=None),
        "price_changes": _changes(facts, plan) if by_token else [],
        "warnings": facts.warnings,
    }


def _prices(quotes: Sequence[tuple[float, PriceQuote]]) -> tuple[float, float]:
    """$ per million input and output tokens: means over a day."""
    return sum(share * quote.input for share, quote in quotes), sum(share * quote.output for share, quote in quotes)


def _changes(facts: Facts, plan: Plan) -> list[PriceChange]:
    """Of the year after the day whose prices count."""
    found = []
    for day in price_changes(facts.teacher.model, facts.teacher.price, facts.day, YEAR):
        quotes = quotes_of_day(facts.teacher.model, facts.teacher.price, day)
        ins, outs = _prices(quotes)
        month = plan.sums.queries * _mean(dollars_of(facts.requests, quotes))
        found.append(
            PriceChange(date=day.date().isoformat(), price_input=ins, price_output=outs, teacher_month_usd=month)
        )
    return found


def _outlook(facts: Facts, plan: Plan, way: Host) -> dict[str, object]:
    """Volume, share and assumptions at other values, for the first place where the student can run."""
    host, ways = facts.section.student_host, [("", way, way)]
    if host is not None and way.name == "own machine":
        busy, idle = (host.model_copy(update={"utilisation": u}) for u in (0.9, 0.3))
        machine = [next(w for w in hosts_of(h, facts.tokens_per_second) if w.name == way.name) for h in (idle, busy)]
        ways.append(("load of the machines, 30% to 90%", machine[0], machine[1]))
    coverage = 1.0 if plan.not_allowed.get(False) and not plan.not_allowed.get(True) else plan.coverage
    return {
        "break_even_queries": break_even_queries(plan, way, coverage),
        "shares": shares(plan, way),
        "tornado": tornado(plan, ways),
        "tornado_usd": expected_saving(plan, way),
    }


def _traffic(facts: Facts, means: Means) -> Traffic:
    return Traffic(
        queries_per_month=facts.section.queries_per_month,
        input_tokens=_mean([request.input_tokens for request in facts.requests]),
        output_tokens=_mean([request.output_tokens for request in facts.requests]),
        measured_calls=len(facts.measured.tokens),
        unknown_calls=facts.measured.unknown,
        student_input_tokens=means.input_tokens,
        student_output_tokens=means.output_tokens,
        counted_by=facts.counted.how if facts.counted else "",
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _ways(facts: Facts) -> list[Host]:
    """Where the student can run; a warning about what is missing."""
    host, serving, warnings = facts.section.student_host, facts.known.serving, facts.warnings
    if host is None and serving is not None:
        return _at_provider(serving, warnings)
    if host is None:
        warnings.append(
            "The student's cost is unknown. Set where it will run, such as --set cost.student_host.usd_per_hour=0.6."
        )
        return []
    ways = hosts_of(host, facts.tokens_per_second)
    if host.usd_per_hour is not None and all(way.name != "own machine" for way in ways):
        warnings.append(
            "The student's speed is unknown: run `distil evaluate`, or add --set cost.student_host.tokens_per_second=N."
        )
    return ways


def _at_provider(serving: Serving, warnings: list[str]) -> list[Host]:
    """By the token where the provider bills so; else one deployment for the whole month, which is the least."""
    fresh, answer, hourly = serving.input, serving.output, serving.usd_per_hour
    if not serving.dedicated and fresh is not None and answer is not None:
        return [Host("provider", lambda queries, ins, outs: tokens_month(queries, ins, outs, fresh, answer))]
    if hourly is None:
        warnings.append(
            f"What a deployment of {serving.model} costs is unknown ({serving.source}). Set it, such as --set "
            "cost.student_host.usd_per_hour=1.7."
        )
        return []
    warnings.append(
        f"The student's month is one deployment of {serving.model} at {dollars(hourly)} an hour, day and night "
        f"({serving.source}); more traffic may need more of them. Set your own: --set cost.student_host.usd_per_hour=N."
    )
    return [Host("deployment", lambda queries, ins, outs: hosted_month(hourly, 1))]


def _coverage(facts: Facts) -> tuple[float, str]:
    if facts.section.coverage is not None:
        return facts.section.coverage, "config"
    calibration = facts.known.calibration
    if calibration is not None and calibration.threshold is not None and not facts.known.void:
        return calibration.coverage, "calibrated"
    return WHAT_IF_COVERAGE, "what-if"


def _not_allowed(facts: Facts, source: str) -> dict[bool, str]:
    """Why the student must not answer alone (True) or with the teacher behind it (False)."""
    known, name = facts.known, facts.known.name
    decision = known.summary.verdict.decision if known.summary is not None else ""
    alone = decision if decision in ("DO NOT SHIP", "SHIP WITH FALLBACK") else ""
    if known.void:
        facts.warnings.append(
            f"The calibration of {name} no longer holds ({known.void}), so its coverage is not used. Run `distil "
            f"calibrate {name}`."
        )
    together = decision if decision == "DO NOT SHIP" and source != "calibrated" else ""
    if alone or together:
        facts.warnings.append(f"The verdict on {name} is {decision}: no saving is named for what it does not allow.")
    return {True: alone, False: together}


def _assumptions(facts: Facts, plan: Plan, ways: Sequence[Host]) -> dict[str, str]:
    """What the figures rest on, in words."""
    section, host, traffic = facts.section, facts.section.student_host, plan.means
    told = {
        "prices of": "today" if section.month is None else section.month,
        "requests a month": f"{section.queries_per_month:,} (cost.queries_per_month)",
        "what falls back costs": f"{section.deferred_cost_ratio:g} times the mean request (cost.deferred_cost_ratio)",
        "audits": f"{section.audit_share:.0%} of the student's answers (cost.audit_share)",
        "keeping it fresh": f"{dollars(section.retraining_usd)} a month (cost.retraining_usd)",
        "coverage": f"{plan.coverage:.0%} ({plan.coverage_source})",
    }
    if facts.counted is not None:
        told["the student's tokens"] = facts.counted.how
    if host is not None and any(way.name == "own machine" for way in ways):
        speed = host.tokens_per_second or facts.tokens_per_second or 0.0
        count = machines(host, speed, section.queries_per_month, traffic.output_tokens)
        evaluated = facts.speed.where if facts.speed else "unknown"
        where = (
            "cost.student_host" if host.tokens_per_second else f"measured here on {evaluated}, maybe another machine"
        )
        told["machines"] = (
            f"{count} at {dollars(host.usd_per_hour or 0.0)} an hour, {speed:,.0f} tokens/s each ({where}), "
            f"{host.utilisation:.0%} busy in the busiest hour, which has {host.peak_to_mean:g} times the mean"
        )
    return told
