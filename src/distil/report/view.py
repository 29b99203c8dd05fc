"""From facts to the key numbers and plots of the page. Tables are in tables.py; the only markup here is that of the charts."""

from __future__ import annotations

from typing import NamedTuple

from markupsafe import Markup

from distil.report import charts, formatting
from distil.report.facts import Facts
from distil.runs.schemas.interval import Interval
from distil.runs.schemas.summary import Summary


class Tile(NamedTuple):
    """One key number of the first screen."""

    label: str
    value: str
    note: str


class PlotView(NamedTuple):
    """One interval plot."""

    metric: str
    title: str
    rows: list[tuple[charts.Row, Markup]]
    """(row, picture)."""
    axis: charts.Axis
    goal: float | None
    floor: float | None


def key_numbers(facts: Facts) -> list[Tile]:
    """Up to five numbers; fewer while parts are missing."""
    tiles: list[Tile] = []
    if summary := facts.headline:
        tiles += _quality_tiles(summary)
        tiles += _size_tiles(summary)
    if cost := facts.cost:
        before, after = cost.per_million_requests["teacher"], cost.per_million_requests["student"]
        priced = [(option.total_usd, option.payback) for option in cost.options[1:] if option.total_usd is not None]
        payback = min(priced, key=lambda pair: pair[0])[1] if priced else None
        note = f"teacher {formatting.dollars(before)}" + (f", pays back in {payback}" if payback else "")
        if after is None:
            tiles.append(
                Tile("teacher, per million requests", formatting.dollars(before), "student's host not priced yet")
            )
        else:
            tiles.append(Tile("per million requests", formatting.dollars(after), note))
    if not facts.headline and facts.funnel:
        tiles = [Tile(name, f"{n:,}", "") for name, n in facts.funnel.steps] + tiles
        if facts.cost:
            tiles.append(Tile("spent so far", formatting.dollars(facts.cost.one_time_usd), "from the ledger"))
    return tiles[:5]


def _quality_tiles(summary: Summary) -> list[Tile]:
    metrics = summary.models[summary.name]
    tiles = []
    if "similarity" in metrics:
        ceiling = summary.models.get("ceiling", {}).get("similarity")
        goal = f"goal {summary.goals['goal_similarity']:.2f}"
        note = f"teacher with itself {ceiling.mean:.3f}, {goal}" if ceiling else goal
        tiles.append(Tile("similarity to the teacher", formatting.number(metrics["similarity"].mean), note))
    if summary.primary != "similarity":
        info = summary.metrics[summary.primary]
        teacher = summary.models.get("ceiling" if info.against == "teacher" else "teacher", {}).get(summary.primary)
        note = f"teacher {formatting.figure(summary.primary, teacher.mean)}" if teacher else ""
        tiles.append(Tile(info.label, formatting.figure(summary.primary, metrics[summary.primary].mean), note))
    return tiles


def _size_tiles(summary: Summary) -> list[Tile]:
    tiles = []
    size, teacher_size = summary.size.get(summary.name), summary.size.get("teacher")
    if size:
        smaller = f"{teacher_size.parameters / size.parameters:.1f}× smaller than the teacher" if teacher_size else ""
        tiles.append(Tile("parameters", formatting.count(size.parameters), smaller or formatting.size(size.bytes)))
    speed, teacher_speed = summary.speed.get(summary.name), summary.speed.get("teacher")
    if speed and speed.tokens_per_second:
        note = (
            f"teacher {formatting.count(teacher_speed.tokens_per_second)}"
            if teacher_speed and teacher_speed.tokens_per_second
            else speed.where
        )
        tiles.append(Tile("tokens per second", formatting.count(speed.tokens_per_second), note))
    return tiles


def plots(facts: Facts) -> list[PlotView]:
    """The metric that decides and similarity: ceiling, students, baseline and base in one picture each."""
    if facts.headline is None:
        return []
    names = list(dict.fromkeys([facts.headline.primary, "similarity"]))
    return [view for name in names if (view := _plot(facts, facts.headline, name))]


def _plot(facts: Facts, headline: Summary, metric: str) -> PlotView | None:
    rows: list[charts.Row] = []

    def add(label: str, interval: Interval | None, kind: str) -> None:
        if interval is not None:
            rows.append(charts.Row(label, interval.mean, interval.low, interval.high, kind))

    against_teacher = headline.metrics.get(metric) is not None and headline.metrics[metric].against == "teacher"
    add(
        "teacher, second answer" if against_teacher else "teacher",
        headline.models.get("ceiling" if against_teacher else "teacher", {}).get(metric),
        "teacher",
    )
    students = sorted(facts.summaries.values(), key=lambda s: (s.name in facts.baselines, s.name != headline.name))
    for summary in students:
        kind = "baseline" if summary.name in facts.baselines else "student"
        label = f"{summary.name} (references only)" if kind == "baseline" else summary.name
        add(label, summary.models[summary.name].get(metric), kind)
    add("base, before distillation", headline.models.get("base", {}).get(metric), "base")
    if not rows:
        return None
    goal = headline.goals.get("goal_similarity") if metric == "similarity" else None
    floor = headline.floor.mean if metric == "similarity" and headline.floor else None
    axis = charts.axis_for(rows, [v for v in (goal, floor) if v is not None])
    title = headline.metrics[metric].label if metric in headline.metrics else metric
    return PlotView(metric, title, [(row, charts.track(row, axis, goal, floor)) for row in rows], axis, goal, floor)


def curve_plots(facts: Facts) -> list[tuple[str, charts.Plot]]:
    """(student, picture of training and validation loss)."""
    plots = []
    for name, curves in facts.curves.items():
        training = charts.Line("training", "train", curves.train)
        validation = charts.Line("validation", "validation", curves.validation)
        if picture := charts.plot([training, validation], label=f"Loss of {name} by step"):
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
    return charts.plot(lines, percent=True, label="Quality by the share that the student answers")
