"""Where the student loses: fields of the answers, slices of the prompts and other ways to be wrong, as bars against the teacher.

Slices and guards come from the summary. The difference per field is computed here from the fields that the explorer marks, with
the evaluation's own paired interval.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

from distil.evaluate import stats
from distil.fields import compare_fields
from distil.report import charts, formatting
from distil.report.cases import Cases, Column, confused, confusion_text, confusions
from distil.report.hero import points
from distil.runs.schemas.interval import Interval
from distil.runs.schemas.summary import Slice, Summary
from distil.text import parse_object

APART, FIELDS = "Not counted for the verdict", "Fields of the answer"
MIN_PROMPTS = 10  # fewer say nothing, as in evaluate/slices.py


class Loss(NamedTuple):
    """One bar."""

    name: str
    student: str
    other: str
    change: str
    picture: Markup
    filter: str
    """JSON for the explorer; empty where it can't filter by this."""
    note: str
    sure: bool
    """Whether the interval excludes no difference."""


class Group(NamedTuple):
    """Bars with one heading."""

    title: str
    rows: list[Loss]
    note: str

    @property
    def folded(self) -> bool:
        """Whether it is shown on demand only: nothing in it is surely different from the teacher."""
        return self.title not in (APART, FIELDS) and not any(row.sure for row in self.rows)


class Found(NamedTuple):
    """A part with its difference, before it is drawn."""

    name: str
    student: Interval
    other: Interval
    difference: Interval
    filter: dict[str, str]
    note: str


def groups(summary: Summary, cases: Cases | None) -> list[Group]:
    """Prompts set apart, then fields, then each kind of slice; every group worst first, all on one axis."""
    metric = summary.deciding.metric if summary.deciding else summary.primary
    apart = [_slice(s, cases) for s in summary.slices if s.set_apart and s.difference and s.other]
    found: list[tuple[str, list[Found], str, str]] = []
    if apart:
        words = "Prompts set apart (evaluate.set_apart): answered and scored, not counted for the verdict."
        found.append((APART, apart, metric, words))
    if cases is not None and (fields := _fields(summary, cases)):
        found.append((FIELDS, fields, "accuracy", ""))
        found += [(f"Labels of {name}", rows, "accuracy", "") for name, rows in _labels(summary, cases, fields)]
    for field in dict.fromkeys(s.field for s in summary.slices if not s.set_apart):
        rows = [
            _slice(s, cases)
            for s in summary.slices
            if s.field == field and not s.set_apart and s.difference and s.other
        ]
        if rows:
            title = {
                "length": "Length of the prompt",
                "label": "Label",
                "group": "Group",
                "topic": "Topic of the prompt",
            }
            found.append((title.get(field, field), rows, metric, ""))
    return [Group(title, _draw(rows, kind, _axis(rows)), note) for title, rows, kind, note in found]


def _slice(part: Slice, cases: Cases | None) -> Found:
    assert part.difference is not None and part.other is not None
    known = cases is not None and part.field in cases.slices and part.name in set(cases.slices[part.field].values())
    wanted = {"facet": part.field, "value": part.name} if known else {}
    note = f"{part.prompts:,} prompts"
    if part.p_corrected is not None and part.p_corrected < 0.05:
        value = formatting.p_value(part.p_corrected).replace(" ", "\N{NO-BREAK SPACE}")
        note += f", p\N{NO-BREAK SPACE}{value}"
    return Found(
        f"{part.field}: {part.name}" if part.set_apart else part.name,
        part.student,
        part.other,
        part.difference,
        wanted,
        note,
    )


def _fields(summary: Summary, cases: Cases) -> list[Found]:
    """Every field of the JSON answers, the student minus the teacher on the same prompts."""
    mine = next((c for c in cases.columns if c.name == summary.name), None)
    versus = "teacher" if summary.fields_against == "reference" else "ceiling"
    other = next((c for c in cases.columns if c.name == versus), None)
    if mine is None or other is None or summary.fields_against is None:
        return []
    right, theirs = (_right(cases, column, summary.fields_against) for column in (mine, other))
    found = []
    for field, values in right.items():
        ids = [key for key in values if key in theirs.get(field, {})]
        if len(ids) >= MIN_PROMPTS:
            found.append(_compared(field, ids, values, theirs[field], cases, {"kind": "field", "field": field}))
    return sorted(found, key=lambda f: (f.difference.mean, f.name))


def _compared(
    name: str,
    ids: Sequence[str],
    mine: Mapping[str, float],
    theirs: Mapping[str, float],
    cases: Cases,
    wanted: dict[str, str],
) -> Found:
    """The paired difference on some prompts, with the evaluation's own interval."""
    labels, confidence = [cases.groups.get(key) for key in ids], cases.headline.confidence
    a, b = [mine[key] for key in ids], [theirs[key] for key in ids]
    difference = stats.paired_difference(a, b, labels, confidence=confidence)
    student, teacher = (stats.interval_of(stats.summarize(v, labels, confidence=confidence)) for v in (a, b))
    return Found(name, student, teacher, stats.interval_of(difference.estimate), wanted, f"{len(ids):,} prompts")


def _labels(summary: Summary, cases: Cases, fields: Sequence[Found]) -> list[tuple[str, list[Found]]]:
    """The labels of the two fields that lose most, each on the prompts where it is right."""
    kinds = {report.field for report in confused(summary)}
    against = summary.fields_against
    columns = {column.name: column for column in cases.columns}
    versus = "teacher" if against == "reference" else "ceiling"
    worst = [f.name for f in fields if f.name in kinds and f.name in cases.slices and f.difference.mean < 0][:2]
    if against is None or not worst:
        return []
    right, theirs = (_right(cases, columns[name], against) for name in (summary.name, versus))
    grouped: list[tuple[str, list[Found]]] = []
    for field in worst:
        rows = []
        for label in dict.fromkeys(cases.slices[field].values()):
            ids = [key for key in right[field] if cases.slices[field].get(key) == label and key in theirs[field]]
            if len(ids) >= MIN_PROMPTS:
                wanted = {"facet": field, "value": label}
                rows.append(_compared(label, ids, right[field], theirs[field], cases, wanted))
        grouped.append((field, sorted(rows, key=lambda f: (f.difference.mean, f.name))))
    return [(field, rows) for field, rows in grouped if rows]


def _right(cases: Cases, column: Column, against: str) -> dict[str, dict[str, float]]:
    """Field -> prompt id -> 1 or 0."""
    found: dict[str, dict[str, float]] = {}
    for example in cases.examples:
        target = parse_object(example.reference if against == "reference" else example.answer)
        answer = column.answers.get(example.prompt_id)
        if target is None or answer is None or example.prompt_id in cases.apart:
            continue
        for name, same in compare_fields(answer.text, target).fields.items():
            found.setdefault(name, {})[example.prompt_id] = same
    return found


def _axis(rows: Sequence[Found]) -> charts.Axis:
    ends = [v for row in rows for v in (row.difference.mean, row.difference.low, row.difference.high) if v is not None]
    low, high = min(ends, default=0.0), max(ends, default=0.0)
    reach = max(0.02, high - low)
    return charts.Axis(min(low, -0.25 * reach) - 0.05 * reach, max(high, 0.1 * reach) + 0.05 * reach)


def _draw(rows: Sequence[Found], metric: str, axis: charts.Axis) -> list[Loss]:
    drawn = []
    for row in rows:
        d = row.difference
        sure = d.low is not None and d.high is not None and (d.high < 0 or d.low > 0)
        kind = "even" if not sure else "lose" if d.mean < 0 else "win"
        spoken = f"{row.name}: student minus teacher {points(d.mean, metric)}"
        picture = charts.lane(
            charts.Lane(d.mean, d.low, d.high, kind), axis, zone=None, lines=[(0.0, "teacher-line")], label=spoken
        )
        sign = "+" if d.mean > 0 else ""
        drawn.append(
            Loss(
                row.name,
                formatting.figure(metric, row.student.mean),
                formatting.figure(metric, row.other.mean),
                sign + points(d.mean, metric),
                picture,
                json.dumps(row.filter) if row.filter else "",
                row.note,
                sure,
            )
        )
    return drawn


class Confusion(NamedTuple):
    """One label taken for another."""

    text: str
    times: int
    filter: str


def confusion_chips(summary: Summary) -> list[Confusion]:
    """The most frequent mistakes of labels, `refund → billing`; empty for answers of another kind."""
    return [
        Confusion(confusion_text(field, row), row.count, json.dumps({"kind": "confusion", "number": n}))
        for n, (field, row) in enumerate(confusions(summary))
        if row.count > 1
    ]
