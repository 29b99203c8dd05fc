"""From facts to key figures, curves and rows of the page. The pictures of verdict, losses and money have files of their own."""

from __future__ import annotations

from typing import NamedTuple

from markupsafe import Markup

from distil.report import charts, formatting, money
from distil.report.cases import metric_label
from distil.report.facts import Facts
from distil.runs.schemas.calibration import Calibration
from distil.runs.schemas.interval import Difference, Interval
from distil.runs.schemas.summary import Summary


class Tile(NamedTuple):
    """One key figure of the first screen."""

    label: str
    value: str
    note: str


def key_figures(facts: Facts) -> list[Tile]:
    """Up to five; fewer while parts are missing."""
    tiles: list[Tile] = []
    if summary := facts.headline:
        tiles += [*_quality(summary), *_size(summary)]
    if facts.cost and (tile := _money(facts)):
        tiles.append(tile)
    if not facts.headline and facts.funnel:
        tiles = [Tile(name, f"{n:,}", "") for name, n in facts.funnel.steps] + tiles
        if facts.cost:
            tiles.append(Tile("spent so far", formatting.dollars(facts.cost.one_time_usd), "from the ledger"))
    return tiles[:5]


def _quality(summary: Summary) -> list[Tile]:
    kept = summary.retention.get(summary.primary)
    if kept is None:
        return []
    label = "of what the teacher scores" if summary.primary in formatting.SHARES else "of the teacher's quality"
    return [Tile(label, formatting.percent(kept.mean), f"{formatting.span('accuracy', kept)}; {metric_label(summary)}")]


def _size(summary: Summary) -> list[Tile]:
    tiles = []
    size, teacher_size = summary.size.get(summary.name), summary.size.get("teacher")
    if size and teacher_size:
        note = f"{formatting.count(size.parameters)} parameters, teacher {formatting.count(teacher_size.parameters)}"
        tiles.append(Tile("smaller", f"{teacher_size.parameters / size.parameters:.1f}×", note))
    elif size:
        tiles.append(Tile("parameters", formatting.count(size.parameters), formatting.size(size.bytes)))
    speed, teacher_speed = summary.speed.get(summary.name), summary.speed.get("teacher")
    if speed and speed.tokens_per_second:
        theirs = teacher_speed.tokens_per_second if teacher_speed else None
        note = f"teacher {formatting.count(theirs)}" if theirs else f"on {speed.where}"
        tiles.append(Tile("tokens per second", formatting.count(speed.tokens_per_second), note))
    return tiles


def _money(facts: Facts) -> Tile | None:
    cost, headline = facts.cost, facts.headline
    if cost is None or (headline and not money.is_about(cost, facts.cost_student, headline.name)):
        return None
    before, after = cost.per_million_requests["teacher"], cost.per_million_requests["student"]
    if after is None:
        return Tile("teacher, per million requests", formatting.dollars(before), "student's host not priced yet")
    option = money.chosen_option(cost, headline)
    if option is not None and option.total_usd is not None:
        usd = 1e6 * option.total_usd / cost.traffic.queries_per_month
        with_teacher = "with fallback" if option.coverage < 1 else "alone"
        note = f"{with_teacher}; teacher {formatting.dollars(before)}"
        if option.saving_usd and option.saving_usd > 0:
            note += f"; pays back in {option.payback}"
        return Tile("per million requests", formatting.dollars(usd), note)
    return Tile(
        "per million requests, student alone", formatting.dollars(after), f"teacher {formatting.dollars(before)}"
    )


class MetricRow(NamedTuple):
    """One metric with every model's interval and the paired differences that matter."""

    name: str
    label: str
    better: str
    cells: list[Interval | None]
    """One per model."""
    difference: Difference | None
    """Student minus teacher, or minus the teacher's second answers where the metric compares with the teacher."""
    gain: Difference | None
    """Student minus base."""
    primary: bool
    """Whether it is the metric that decides."""


def metric_table(summary: Summary) -> tuple[list[str], list[MetricRow]]:
    """(models in order, one row per metric that was measured)."""
    models = [m for m in (summary.name, "teacher", "ceiling", "base", "shuffled") if m in summary.models]
    rows = []
    for name, info in summary.metrics.items():
        versus = "ceiling" if info.against == "teacher" else "teacher"
        cells = [summary.models[m].get(name) for m in models]
        if any(cells):
            difference, gain = summary.difference(name, versus), summary.difference(name, "base")
            rows.append(MetricRow(name, info.label, info.better, cells, difference, gain, name == summary.primary))
    return models, rows


class Spread(NamedTuple):
    """One histogram of similarities."""

    label: str
    kind: str
    picture: Markup
    mean: str
    above: str
    """Share above 0.9."""


class Likeness(NamedTuple):
    """Three histograms on one axis."""

    rows: list[Spread]
    ticks: list[tuple[float, str]]
    goal: float | None
    goal_at: float


def likeness(facts: Facts) -> Likeness | None:
    """How similar answers are to the teacher's: unrelated ones, the teacher's own second ones, the student's."""
    summary, cases = facts.headline, facts.cases
    if summary is None or cases is None or summary.name not in cases.likeness:
        return None
    wanted = [("shuffled", "answers to other prompts", "base"), ("ceiling", "teacher, asked again", "teacher")]
    wanted.append((summary.name, summary.name, "student"))
    shown = [(label, kind, cases.likeness[model]) for model, label, kind in wanted if cases.likeness.get(model)]
    values = sorted(value for _, _, row in shown for value in row)
    low = values[len(values) // 200]  # a few strange answers do not squeeze the picture
    axis = charts.Axis(min(low, 0.85) - 0.02, 1.0)
    rows = []
    for label, kind, row in shown:
        mean = sum(row) / len(row)
        spoken = f"{label}: mean similarity {mean:.3f} over {len(row)} prompts"
        above = formatting.percent(sum(v > 0.9 for v in row) / len(row), 0)
        rows.append(
            Spread(label, kind, charts.histogram(row, axis, kind, label=spoken), formatting.number(mean), above)
        )
    goal = summary.goals.get("goal_similarity")
    ticks = [(axis.place(t), f"{t:.2f}") for t in charts.ticks(axis.low, axis.high, 5)]
    return Likeness(rows, ticks, goal, axis.place(goal) if goal else 0.0)


def curve_plots(facts: Facts) -> list[tuple[str, charts.Plot]]:
    """(student, picture of training and validation loss on a logarithmic scale, where the whole course can be seen)."""
    plots = []
    for name, curves in facts.curves.items():
        training = charts.Line("training", "train", curves.train)
        validation = charts.Line("validation", "validation", curves.validation)
        if picture := charts.plot([training, validation], log=True, label=f"Loss of {name} by step"):
            plots.append((name, picture))
    return plots


def confidence_plot(summary: Summary | None) -> charts.Plot | None:
    """The metric that decides by the share of prompts that the student answers itself; None without log-probabilities."""
    if summary is None or not summary.confidence_curve:
        return None
    points = summary.confidence_curve
    lines = [charts.Line(f"{summary.name} alone", "curve", [(p.coverage, p.served) for p in points])]
    both = [(p.coverage, p.together) for p in points if p.together is not None]
    if both:
        lines.append(charts.Line("with the teacher for the others", "guarantee", both))
    return charts.plot(
        lines,
        label="Quality by the share that the student answers",
        show_x=charts.whole_percent,
        show_y=charts.whole_percent,
    )


def frontier_plot(calibration: Calibration) -> charts.Plot | None:
    """Bad answers by the share that the student answers, as the test prompts estimate them; None with too few of them."""
    points = calibration.frontier
    if len(points) < 2:
        return None
    lines = [
        charts.Line("bad among its answers", "curve", [(point.share, point.bad) for point in points]),
        charts.Line("upper end of its 95% interval", "train", [(point.share, point.high) for point in points]),
        charts.Line(
            f"allowed: {calibration.risk:.0%}",
            "guarantee",
            [(point.share, calibration.risk) for point in (points[0], points[-1])],
        ),
    ]
    return charts.plot(
        lines,
        label=f"Bad answers of {calibration.student} by the share of the requests that it answers itself",
        show_x=charts.whole_percent,
        show_y=charts.whole_percent,
    )


def splits_bar(facts: Facts) -> Markup | None:
    """All answers as one bar: train, validation, test, dropped."""
    if facts.funnel is None or not facts.funnel.splits:
        return None
    parts = [(name, float(n)) for name, n in facts.funnel.splits]
    parts.append(("dropped", float(sum(n for _, n, _ in facts.funnel.dropped))))
    return charts.bar(parts, sum(n for _, n in parts))


def commands(facts: Facts) -> str:
    """What to type to get this page again from the same folder."""
    lines = []
    for manifest in facts.manifests.values():
        name = f" --as {manifest.name}" if manifest.stage == "train" else f" {manifest.name}" if manifest.name else ""
        stage = {"serve": "calibrate", "signals": "signals build"}.get(manifest.stage, manifest.stage)
        if manifest.stage != "prompts":
            lines.append(f"distil {stage}{name}")
    return "\n".join([*dict.fromkeys(lines), "distil report"])
