"""The picture of the verdict: one number line of the deciding metric, zoomed to where it is decided.

The green zone is what the margin allows below the teacher. The student's bar is the interval of its *paired* difference from the
teacher, so it stays inside the zone exactly when SHIP is proven on this metric. Models far below become an arrow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

from distil.report import charts, formatting
from distil.runs.schemas.decision import Deciding, Decision
from distil.runs.schemas.interval import Interval
from distil.runs.schemas.summary import Summary

LOOK: dict[Decision, str] = {
    "SHIP": "ship",
    "SHIP WITH FALLBACK": "fallback",
    "DO NOT SHIP": "stop",
    "NOT DECIDED": "undecided",
}
"""Verdict -> CSS class."""


class HeroRow(NamedTuple):
    """One model on the number line."""

    label: str
    kind: str
    value: str
    note: str
    picture: Markup
    thick: bool


class Hero(NamedTuple):
    """The number line and the words around it."""

    label: str
    """The metric."""
    rows: list[HeroRow]
    other: str
    """Who the line is: teacher, or its second answer."""
    other_value: str
    other_at: float
    """Percent from the left."""
    limit: str
    """What the margin allows, such as `5 points below: 91.9%`."""
    limit_at: float
    ticks: list[tuple[float, str]]
    caption: str


def points(value: float, metric: str) -> str:
    """A difference as people say it: `2.3 points` for shares, three decimals otherwise."""
    if metric in formatting.SHARES:
        text = formatting.number(100 * value, 1).removesuffix(".0")
        return f"{text} point" if text in ("1", f"{formatting.MINUS}1") else f"{text} points"
    return formatting.number(value)


def number_line(headline: Summary, summaries: Mapping[str, Summary], baselines: Sequence[str]) -> Hero | None:
    """The picture for the first screen; None where nothing decides."""
    test = headline.deciding
    if test is None:
        return None
    limit = test.other.mean - test.margin
    lanes = [(headline.name, _place(test), _note(test), "headline")]
    others = [s for s in summaries.values() if s.name != headline.name]
    for summary in sorted(others, key=lambda s: s.name in baselines):
        own = summary.deciding
        kind = "baseline" if summary.name in baselines else "student"
        label = f"{summary.name} (references only)" if kind == "baseline" else summary.name
        if own and (own.metric, own.versus) == (test.metric, test.versus):
            lanes.append(
                (
                    label,
                    _place(own),
                    _note(own) if summary.verdict.decision == "SHIP" else summary.verdict.decision,
                    kind,
                )
            )
    for model, label in (("base", "base model, untrained"), ("shuffled", "unrelated answers")):
        if interval := headline.models.get(model, {}).get(test.metric):
            lanes.append((label, interval, "", "base"))
    axis = _axis(test, limit, [interval for _, interval, _, _ in lanes])
    upper = max(axis.high, test.other.mean)
    lines = [(limit, "limit"), (test.other.mean, "teacher-line")]
    look = LOOK[headline.verdict.decision]
    rows = [
        HeroRow(
            label,
            kind,
            formatting.figure(test.metric, interval.mean),
            note,
            charts.lane(
                charts.Lane(interval.mean, interval.low, interval.high, look if kind == "headline" else kind, kind == "headline"),
                axis,
                zone=(limit, upper),
                lines=lines,
                label=f"{label}: {formatting.figure(test.metric, interval.mean)}, {formatting.span(test.metric, interval)}",
            ),
            kind == "headline",
        )
        for label, interval, note, kind in lanes
    ]  # fmt: skip
    return Hero(
        label=test.label,
        rows=rows,
        other=_other(test),
        other_value=formatting.figure(test.metric, test.other.mean),
        other_at=axis.place(test.other.mean),
        limit=f"{points(test.margin, test.metric)} below: {formatting.figure(test.metric, limit)}",
        limit_at=axis.place(limit),
        ticks=[(axis.place(t), _tick(test.metric, t)) for t in charts.ticks(axis.low, axis.high, 4)],
        caption=_caption(headline, test),
    )


def _other(test: Deciding) -> str:
    if test.metric == "judge":
        return "as good as the teacher"
    return "teacher" if test.versus == "teacher" else "teacher, asked again"


def _place(test: Deciding) -> Interval:
    """The student on the number line: where the teacher is, less the paired shortfall."""
    low, high = test.shortfall.low, test.shortfall.high
    return Interval(  # a difference may reach beyond what a metric can be: all that decide are between 0 and 1
        mean=test.student.mean,
        low=None if high is None else max(0.0, test.other.mean - high),
        high=None if low is None else min(1.0, test.other.mean - low),
        n=test.shortfall.n,
    )


def _note(test: Deciding) -> str:
    high = test.shortfall.high
    if high is None:
        return "no interval"
    if high < 0:
        return f"better by at least {points(-high, test.metric)}"
    return f"at most {points(high, test.metric)} worse"


def _axis(test: Deciding, limit: float, intervals: Sequence[Interval]) -> charts.Axis:
    """Around limit, teacher and headline student; others only where they are near, so that they do not squeeze the picture."""
    mine = intervals[0]
    core = [limit, test.other.mean, mine.mean, *(v for v in (mine.low, mine.high) if v is not None)]
    low, high = min(core), max(core)
    reach = max(high - low, 2 * test.margin)
    for interval in intervals[1:]:
        near = [v for v in (interval.mean, interval.low, interval.high) if v is not None]
        if low - reach <= interval.mean <= high + reach:
            core += near
    low, high = min(core), max(core)
    pad = 0.07 * (high - low)
    return charts.Axis(low - pad, min(1.0, high + 1.5 * pad) if high < 1 else 1.0 + 0.3 * pad)


def _tick(metric: str, value: float) -> str:
    if metric in formatting.SHARES:
        return f"{formatting.number(100 * value, 1).removesuffix('.0')}%"
    return f"{value:.2f}"


def _caption(headline: Summary, test: Deciding) -> str:
    looks = headline.looks
    whom = "teacher" if test.versus == "teacher" else "teacher's second answers"
    words = [f"Bars: {100 * headline.confidence:g}% intervals, paired with the {whom} on the same prompts"]
    if looks.correction:
        words[0] += f" and {looks.correction}"
    words[0] += ". SHIP needs the whole bar in the green."
    if looks.runs > 1:
        students = f"{looks.students} students" if looks.students > 1 else "one student"
        words.append(f"These test prompts were used {looks.runs} times, for {students}.")
    if test.coverage < 0.995:
        words.append(f"The metric applies to {formatting.percent(test.coverage, 0)} of the prompts.")
    return " ".join(words)
