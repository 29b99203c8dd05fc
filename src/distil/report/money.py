"""What it costs: quality over dollars, the bill before and after, and the payback, all of the student that the verdict is about.

Where the verdict needs the fallback, the bill with the fallback is the one that counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

from distil.report import charts, formatting
from distil.report.scatter import Dot, scatter
from distil.runs.schemas.calibration import Calibration
from distil.runs.schemas.cost import CostSummary, Option, Swing
from distil.runs.schemas.summary import Summary

WIDE, NARROW = 660, 350  # pixels


class Bill(NamedTuple):
    """A month in one way."""

    option: Option
    name: str
    picture: Markup
    chosen: bool
    """Whether it is the way that the verdict allows."""


def is_about(cost: CostSummary, student: str | None, name: str) -> bool:
    """Whether a bill is that of a student: by the stage's note, by the options' names where an older run left none."""
    return (
        student == name
        if student
        else any(o.name in (name, f"{name} alone", f"{name} + teacher") for o in cost.options)
    )


def chosen_option(cost: CostSummary, headline: Summary | None) -> Option | None:
    """The bill that the verdict allows: the student alone for SHIP, with the teacher for a fallback; None for no permission."""
    decision = headline.verdict.decision if headline else None
    if decision == "SHIP":
        return next((o for o in cost.options if o.coverage == 1.0), None)
    if decision == "SHIP WITH FALLBACK":
        return next((o for o in cost.options if 0 < o.coverage < 1.0), None)
    return None


def bills(cost: CostSummary, headline: Summary | None) -> list[Bill]:
    """Every priced way with its bar, all on one scale."""
    priced = [option for option in cost.options if option.total_usd is not None]
    whole = max((option.total_usd or 0.0 for option in priced), default=0.0)
    allowed = chosen_option(cost, headline)
    several = len({option.host for option in priced if option.host}) > 1
    rows = []
    for option in priced:
        name = option.name
        about = [option.host] * several + [option.routing]
        if any(about):
            name += f" ({', '.join(part for part in about if part)})"
        if 0 < option.coverage < 1:
            name += f", {formatting.percent(option.coverage, 0)} by the student"
            name += {"what-if": " (what if)", "calibrated": " (calibrated)"}.get(option.coverage_source, "")
        picture = charts.bar([("student", option.student_usd or 0.0), ("teacher", option.teacher_usd or 0.0)], whole)
        rows.append(Bill(option, name, picture, option is allowed))
    return rows


class Assumption(NamedTuple):
    """What a month saves if one assumption is wrong."""

    swing: Swing
    picture: Markup


def tornado(cost: CostSummary) -> list[Assumption]:
    """Every assumption with its range, all on one scale that has zero on it."""
    if cost.tornado_usd is None or not cost.tornado:
        return []
    every = [value for swing in cost.tornado for value in (swing.low_usd, swing.high_usd)]
    low, high = min(0.0, *every), max(0.0, *every)
    axis = charts.Axis(low - 0.03 * (high - low), high + 0.03 * (high - low))
    found = []
    for swing in cost.tornado:
        kind = "win" if swing.low_usd > 0 else "lose" if swing.high_usd < 0 else "even"
        row = charts.Lane(cost.tornado_usd, swing.low_usd, swing.high_usd, kind)
        label = f"{swing.factor}: {formatting.dollars(swing.low_usd)} to {formatting.dollars(swing.high_usd)}"
        found.append(Assumption(swing, charts.lane(row, axis, zone=None, lines=[(0.0, "teacher-line")], label=label)))
    return found


def by_share(cost: CostSummary) -> charts.Plot | None:
    """The month over the share that the student answers, beside the teacher alone."""
    if not cost.shares or cost.teacher_month_usd is None:
        return None
    month = cost.teacher_month_usd
    return charts.plot(
        [
            charts.Line("tried first", "curve", [(each.share, each.tried_first_usd) for each in cost.shares]),
            charts.Line("routed before", "guarantee", [(each.share, each.routed_before_usd) for each in cost.shares]),
            charts.Line("teacher alone", "train", [(0.0, month), (1.0, month)]),
        ],
        label="Dollars a month over the share of requests that the student answers",
        show_x=charts.whole_percent,
        show_y=formatting.axis_dollars,
    )


def prices(cost: CostSummary | None, about: str | None, summaries: Mapping[str, Summary]) -> dict[str, float]:
    """Model -> $ per million requests, where it is known: the bill's for its student and the teacher, else the evaluation's."""
    found: dict[str, float] = {}
    for name, summary in summaries.items():
        found |= {m: 1000 * usd for m, usd in summary.usd_per_1000.items() if m in ("teacher", name)}
    if cost:
        own = {
            "teacher": cost.per_million_requests.get("teacher"),
            about or "": cost.per_million_requests.get("student"),
        }
        found |= {name: usd for name, usd in own.items() if name and usd is not None}
    return {name: usd for name, usd in found.items() if usd > 0}


class Picture(NamedTuple):
    """Quality over money at two widths."""

    wide: Markup
    narrow: Markup
    curve: bool
    certified: str
    """What the calibrated point is, in words; empty without one."""


def quality_over_money(
    headline: Summary,
    summaries: Mapping[str, Summary],
    baselines: Sequence[str],
    priced: Mapping[str, float],
    calibration: Calibration | None,
) -> Picture | None:
    """The scatter; None where fewer than two models have a price."""
    test = headline.deciding
    if test is None or test.metric == "judge":
        return None
    dots = []
    if "teacher" in priced:
        label = "teacher" if test.versus == "teacher" else "teacher, asked again"
        dots.append(Dot(label, "teacher", priced["teacher"], test.other.mean, test.other.low, test.other.high))
    for name, summary in summaries.items():
        own = summary.deciding
        if name in priced and own and own.metric == test.metric:
            kind = "headline" if name == headline.name else "baseline" if name in baselines else "student"
            dots.append(Dot(name, kind, priced[name], own.student.mean, own.student.low, own.student.high))
    if len(dots) < 2:
        return None
    curve, certified = _together(headline, priced, calibration)
    if calibration and certified:
        usd, value = certified
        dots.append(
            Dot(f"fallback, {calibration.coverage:.0%} by {headline.name}", "certified", usd, value, None, None)
        )
    pictures = [scatter(dots, curve, test.metric, width=w, height=h) for w, h in ((WIDE, 320), (NARROW, 300))]
    words = calibration.promise if calibration and certified else ""
    return Picture(pictures[0], pictures[1], bool(curve), words)


def _together(
    headline: Summary, priced: Mapping[str, float], calibration: Calibration | None
) -> tuple[list[tuple[float, float]], tuple[float, float] | None]:
    """(dollars, quality) of student and teacher together by coverage, and the calibrated point on it.

    The student is asked about everything, so coverage c costs the student plus (1 - c) of the teacher.
    """
    if headline.name not in priced or "teacher" not in priced:
        return [], None
    own, teacher = priced[headline.name], priced["teacher"]
    points = [(p.coverage, p.together) for p in headline.confidence_curve if p.together is not None]
    if len(points) < 2:
        return [], None
    curve = [(own + (1 - coverage) * teacher, value) for coverage, value in points]
    if calibration is None or calibration.threshold is None:
        return curve, None
    nearest = min(points, key=lambda point: abs(point[0] - calibration.coverage))
    return curve, (own + (1 - calibration.coverage) * teacher, nearest[1])
