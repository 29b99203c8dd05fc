"""From facts to the rows of the page's tables and bars. Plots are in view.py."""

from __future__ import annotations

from typing import NamedTuple

from markupsafe import Markup

from distil.report import charts
from distil.report.facts import Facts
from distil.runs.schemas.cost import CostSummary, Option
from distil.runs.schemas.interval import Difference, Interval
from distil.runs.schemas.summary import Summary


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
    """(models in order, one row per metric)."""
    models = [m for m in ("teacher", "ceiling", summary.name, "base") if m in summary.models]
    rows = []
    for name, info in summary.metrics.items():
        versus = "ceiling" if info.against == "teacher" else "teacher"
        rows.append(
            MetricRow(
                name=name,
                label=info.label,
                better=info.better,
                cells=[summary.models[m].get(name) for m in models],
                difference=summary.difference(name, versus),
                gain=summary.difference(name, "base"),
                primary=name == summary.primary,
            )
        )
    return models, rows


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


def money_rows(cost: CostSummary) -> list[tuple[Option, Markup]]:
    """(option, bar of student and teacher dollars a month), all on one scale."""
    totals = [option.total_usd for option in cost.options if option.total_usd is not None]
    return [
        (option, charts.bar([("student", option.student_usd or 0.0), ("teacher", option.teacher_usd)], max(totals)))
        for option in cost.options
        if option.total_usd is not None
    ]


def funnel_rows(facts: Facts) -> list[tuple[str, int, Markup]]:
    """(what, how many, bar)."""
    if facts.funnel is None:
        return []
    whole = max((n for _, n in facts.funnel.steps), default=0)
    rows = [(name, n, charts.bar([("step", n)], whole)) for name, n in facts.funnel.steps]
    return rows + [(name, n, charts.bar([("split", n)], whole)) for name, n in facts.funnel.splits]
