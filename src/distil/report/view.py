"""From facts to what the template shows: key numbers, plots, tables. No HTML here but the charts'. Called by page.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from distil.report import charts, formatting
from distil.report.diff import Part, word_diff
from distil.report.facts import Facts
from distil.runs.schemas.cost import CostSummary, Option
from distil.runs.schemas.summary import Difference, Interval, Summary


class Tile(NamedTuple):
    """One key number of the first screen."""

    label: str
    value: str
    note: str


class PlotView(NamedTuple):
    """One interval plot."""

    metric: str
    title: str
    rows: list[tuple[charts.Row, Any]]
    """(row, picture)."""
    axis: charts.Axis
    goal: float | None
    floor: float | None


class WorstView(NamedTuple):
    """One of the worst answers with its differences marked."""

    prompt: str
    reference: str | None
    teacher: list[Part]
    student: list[Part]
    scores: list[tuple[str, str]]


def tiles(facts: Facts) -> list[Tile]:
    """Four or five numbers; fewer while parts are missing."""
    found: list[Tile] = []
    if summary := facts.headline:
        found += _quality_tiles(summary)
        found += _size_tiles(summary)
    if cost := facts.cost:
        before, after = cost.per_million_requests["teacher"], cost.per_million_requests["student"]
        priced = [(option.total_usd, option.payback) for option in cost.options[1:] if option.total_usd is not None]
        payback = min(priced, key=lambda pair: pair[0])[1] if priced else None
        note = f"teacher {formatting.dollars(before)}" + (f", pays back in {payback}" if payback else "")
        if after is None:
            found.append(
                Tile("teacher, per million requests", formatting.dollars(before), "student's host not priced yet")
            )
        else:
            found.append(Tile("per million requests", formatting.dollars(after), note))
    if not facts.headline and facts.funnel:
        found = [Tile(name, f"{n:,}", "") for name, n in facts.funnel.steps] + found
        if facts.cost:
            found.append(Tile("spent so far", formatting.dollars(facts.cost.one_time_usd), "from the ledger"))
    return found[:5]


def _quality_tiles(summary: Summary) -> list[Tile]:
    mine, found = summary.models[summary.name], []
    if "similarity" in mine:
        ceiling = summary.models.get("ceiling", {}).get("similarity")
        goal = f"goal {summary.goals['goal_similarity']:.2f}"
        note = f"teacher with itself {ceiling.mean:.3f}, {goal}" if ceiling else goal
        found.append(Tile("similarity to the teacher", formatting.number(mine["similarity"].mean), note))
    if summary.primary != "similarity":
        other = summary.models.get(
            "ceiling" if summary.metrics[summary.primary].against == "teacher" else "teacher", {}
        )
        rival = other.get(summary.primary)
        found.append(
            Tile(
                summary.metrics[summary.primary].label,
                formatting.figure(summary.primary, mine[summary.primary].mean),
                f"teacher {formatting.figure(summary.primary, rival.mean)}" if rival else "",
            )
        )
    return found


def _size_tiles(summary: Summary) -> list[Tile]:
    found = []
    size, teacher_size = summary.size.get(summary.name), summary.size.get("teacher")
    if size:
        smaller = f"{teacher_size.parameters / size.parameters:.1f}× smaller than the teacher" if teacher_size else ""
        found.append(Tile("parameters", formatting.count(size.parameters), smaller or formatting.size(size.bytes)))
    speed, teacher_speed = summary.speed.get(summary.name), summary.speed.get("teacher")
    if speed and speed.tokens_per_second:
        note = (
            f"teacher {formatting.count(teacher_speed.tokens_per_second)}"
            if teacher_speed and teacher_speed.tokens_per_second
            else speed.where
        )
        found.append(Tile("tokens per second", formatting.count(speed.tokens_per_second), note))
    return found


def plots(facts: Facts) -> list[PlotView]:
    """Similarity, and the metric that decides: ceiling, students, baseline and base in one picture each."""
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
        "teacher, asked twice" if against_teacher else "teacher",
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


def metric_table(summary: Summary) -> tuple[list[str], list[dict[str, Any]]]:
    """(models in order, rows): one row per metric with every model's interval and the paired difference that matters."""
    models = [m for m in ("teacher", "ceiling", summary.name, "base") if m in summary.models]
    rows = []
    for name, info in summary.metrics.items():
        versus = "ceiling" if info.against == "teacher" else "teacher"
        rows.append(
            {
                "name": name,
                "label": info.label,
                "better": info.better,
                "cells": [summary.models[m].get(name) for m in models],
                "difference": _find(summary.differences, name, versus),
                "gain": _find(summary.differences, name, "base"),
                "primary": name == summary.primary,
            }
        )
    return models, rows


def _find(differences: Sequence[Difference], metric: str, versus: str) -> Difference | None:
    return next((d for d in differences if d.metric == metric and d.versus == versus), None)


def field_table(facts: Facts) -> tuple[list[str], list[tuple[str, list[Interval | None]]]]:
    """(models, rows of field -> interval per model), teacher first, then students, then base."""
    headline = facts.headline
    if headline is None or not headline.fields:
        return [], []
    columns: list[tuple[str, dict[str, Interval]]] = []
    first = "teacher" if "teacher" in headline.fields else "ceiling"
    for label, source in [(first, headline), *((s.name, s) for s in facts.summaries.values()), ("base", headline)]:
        if label in source.fields:
            columns.append((label, source.fields[label]))
    names = list(dict.fromkeys(field for _, fields in columns for field in fields))
    return [label for label, _ in columns], [(name, [fields.get(name) for _, fields in columns]) for name in names]


def worst_table(summary: Summary) -> list[WorstView]:
    """The worst answers; the teacher's words that the student lacks and the student's own are marked."""
    shown = []
    for case in summary.worst:
        teacher, student = word_diff(case.teacher, case.student)
        names = [n for n in (summary.primary, "similarity", "rouge_l") if n in case.scores]
        scores = [
            (summary.metrics[n].label, formatting.figure(n, case.scores[n]))
            for n in dict.fromkeys(names)
            if n in summary.metrics
        ]
        shown.append(WorstView(case.prompt, case.reference, teacher, student, scores))
    return shown


def curve_plots(facts: Facts) -> list[tuple[str, charts.Plot]]:
    """(student, picture of training and validation loss)."""
    found = []
    for name, curves in facts.curves.items():
        lines = [
            charts.Line("training", "train", curves.train),
            charts.Line("validation", "validation", curves.validation),
        ]
        picture = charts.plot(lines, label=f"Loss of {name} by step")
        if picture:
            found.append((name, picture))
    return found


def confidence_plot(summary: Summary | None) -> charts.Plot | None:
    """The deciding metric by the share of prompts that the student answers itself; None without log-probabilities."""
    if summary is None or not summary.confidence_curve:
        return None
    points = summary.confidence_curve
    lines = [charts.Line(f"{summary.name} alone", "curve", [(p.coverage, p.served) for p in points])]
    both = [(p.coverage, p.together) for p in points if p.together is not None]
    if both:
        lines.append(charts.Line("with the teacher for the rest", "promise", both))
    return charts.plot(lines, percent=True, label="Quality by the share that the student answers")


def money_rows(cost: CostSummary) -> list[tuple[Option, Markup]]:
    """(option, bar of student and teacher dollars a month), all on one scale."""
    totals = [option.total_usd for option in cost.options if option.total_usd is not None]
    return [
        (option, charts.bar([("student", option.student_usd or 0.0), ("teacher", option.teacher_usd)], max(totals)))
        for option in cost.options
        if option.total_usd is not None
    ]


def funnel_rows(facts: Facts) -> list[tuple[str, int, Any]]:
    """(what, how many, bar)."""
    if facts.funnel is None:
        return []
    whole = max((n for _, n in facts.funnel.steps), default=0)
    rows = [(name, n, charts.bar([("step", n)], whole)) for name, n in facts.funnel.steps]
    return rows + [(name, n, charts.bar([("split", n)], whole)) for name, n in facts.funnel.splits]
