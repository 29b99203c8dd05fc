"""The rounds of `distil until` as a picture and a table: what was bought, how good the student was, what would be proven."""

from __future__ import annotations

from typing import NamedTuple

from markupsafe import Markup

from distil.report import charts, formatting
from distil.report.hero import points
from distil.runs.artifacts import Project
from distil.runs.schemas.until import UntilPlan, UntilRound, UntilSummary, read_plan, read_rounds, read_until_summary

SHARE = "accuracy"
"""Rounds are shown in points, as on the command line."""
OUTCOMES = {
    "proven": "It is proven",
    "out of reach": "It is out of reach for the money",
    "not proven": "It is not proven with the money",
    "undecidable": "No number of answers decides it",
}


class Bought(NamedTuple):
    """The rounds of the last plan."""

    plan: UntilPlan
    rounds: list[UntilRound]
    summary: UntilSummary | None
    """None while they are not over."""


class Row(NamedTuple):
    """A round."""

    number: int
    answers: str
    rows: str
    usd: str
    score: str
    ends: str
    """Of the score's interval."""
    worse: str
    bar: str
    """The most that it could have been worse and be proven."""
    share: str
    decision: str
    outcome: str
    """held | open | broken, for the color."""
    picture: Markup


class Rounds(NamedTuple):
    """The section."""

    target: str
    student: str
    metric: str
    ended: str
    """How, in words; empty while they are not over."""
    sentence: str
    allowed: str
    budget: str
    planned: int
    rows: list[Row]
    next_steps: list[str]


def read(project: Project) -> Bought | None:
    """None where `distil until` has planned nothing. Raises UserError for a broken file."""
    plan = read_plan(project.until_plan)
    if plan is None:
        return None
    done = [one for one in read_rounds(project.until_rounds) if one.plan == plan.id]
    summary = read_until_summary(project.until)
    fits = summary is not None and summary.plan.id == plan.id and len(summary.rounds) == len(done)
    return Bought(plan, done, summary if fits else None)


def section(bought: Bought | None) -> Rounds | None:
    """What the page shows; None without a finished round."""
    if bought is None or not bought.rounds:
        return None
    plan, done, summary = bought
    last = done[-1]
    steps = summary.next_steps if summary else [f"distil until SHIP --budget {plan.budget_usd:g} --as {plan.student}"]
    sentence = summary.sentence if summary else f"{len(done)} of {len(plan.sizes)} rounds are done. {last.sentence}"
    axis = _axis(done)
    return Rounds(
        target=plan.target,
        student=plan.student,
        metric=last.name or "",
        ended=OUTCOMES[summary.outcome] if summary else "",
        sentence=sentence[:1].upper() + sentence[1:],
        allowed=points(last.margin, SHARE),
        budget=formatting.dollars(plan.budget_usd),
        planned=len(plan.sizes),
        rows=[_row(one, axis) for one in done],
        next_steps=list(steps),
    )


def _axis(done: list[UntilRound]) -> charts.Axis:
    ends = [0.0]
    for one in done:
        ends += [one.margin, -one.margin]
        found = one.shortfall
        ends += [v for v in (found.mean, found.low, found.high) if v is not None] if found else []
    low, high = min(ends), max(ends)
    return charts.Axis(low - 0.06 * (high - low), high + 0.06 * (high - low))


def _row(one: UntilRound, axis: charts.Axis) -> Row:
    found = one.shortfall
    outcome = "open"
    picture = Markup("")
    if found is not None:
        if found.high is not None and found.high < one.margin:
            outcome = "held"
        elif found.low is not None and found.low > one.margin:
            outcome = "broken"
        picture = charts.lane(
            charts.Lane(found.mean, found.low, found.high, outcome),
            axis,
            zone=(axis.low, one.margin),
            lines=[(one.margin, "limit"), (0.0, "teacher-line")],
            label=f"Round {one.number}: {points(found.mean, SHARE)} worse, {points(one.margin, SHARE)} allowed",
        )
    return Row(
        number=one.number,
        answers=f"{one.asked:,}",
        rows=f"{one.rows:,}",
        usd=formatting.dollars(one.usd),
        score=formatting.percent(one.student.mean) if one.student else formatting.NOTHING,
        ends=formatting.ends(SHARE, one.student) if one.student else "",
        worse=_worse(one),
        bar=formatting.NOTHING if one.bar is None else points(one.bar, SHARE),
        share=formatting.percent(one.share / one.corrected_for),
        decision=one.decision,
        outcome=outcome,
        picture=picture,
    )


def _worse(one: UntilRound) -> str:
    if one.shortfall is None:
        return "not measured"
    mean = one.shortfall.mean
    return f"{points(abs(mean), SHARE)} {'worse' if mean >= 0 else 'better'}"
