"""Inline SVG for the page: intervals, curves, bars. Colors come from the page's CSS classes, so dark mode needs nothing here.

Horizontal positions are percentages and nothing scales text, so charts are as readable on a phone as on a desktop. Every label
is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup, escape


class Row(NamedTuple):
    """One line of an interval plot."""

    label: str
    mean: float
    low: float | None
    high: float | None
    kind: str
    """student | teacher | base | baseline: the CSS class."""


class Axis(NamedTuple):
    """What the horizontal axis covers."""

    low: float
    high: float

    def place(self, value: float) -> float:
        """Percent from the left, clamped to the picture."""
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return 100 * min(1.0, max(0.0, share))


def axis_for(rows: Sequence[Row], extra: Sequence[float] = ()) -> Axis:
    """0 to 1, wider where values are outside."""
    values = [v for row in rows for v in (row.mean, row.low, row.high) if v is not None] + list(extra)
    return Axis(min(0.0, *values), max(1.0, *values)) if values else Axis(0.0, 1.0)


def track(row: Row, axis: Axis, goal: float | None = None, floor: float | None = None) -> Markup:
    """The picture of one row: a thin scale, the interval as a bar, the mean as a dot, the goal and floor as ticks."""
    parts = [Markup('<line class="scale" x1="0" x2="100%" y1="12" y2="12"/>')]
    for value, kind in ((floor, "floor"), (goal, "goal")):
        if value is not None:
            x = axis.place(value)
            parts.append(Markup('<line class="{}" x1="{:.2f}%" x2="{:.2f}%" y1="2" y2="22"/>').format(kind, x, x))
    if row.low is not None and row.high is not None:
        x1, x2 = axis.place(row.low), axis.place(row.high)
        parts.append(Markup('<line class="bar" x1="{:.2f}%" x2="{:.2f}%" y1="12" y2="12"/>').format(x1, x2))
    parts.append(Markup('<circle class="dot" cx="{:.2f}%" cy="12" r="4.5"/>').format(axis.place(row.mean)))
    return Markup('<svg class="track {}" width="100%" height="24" role="img" aria-label="{}">{}</svg>').format(
        row.kind, _spoken(row), Markup("").join(parts)
    )


def _spoken(row: Row) -> str:
    interval = "" if row.low is None or row.high is None else f", from {row.low:.3f} to {row.high:.3f}"
    return f"{row.label}: {row.mean:.3f}{interval}"


def ticks(low: float, high: float, max_ticks: int = 5) -> list[float]:
    """At most `max_ticks` + 1 round numbers that cover the range: steps of 1, 2 or 5 times a power of ten."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low] if math.isfinite(low) else []
    rough = (high - low) / max_ticks
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


class Line(NamedTuple):
    """One curve."""

    label: str
    kind: str
    """CSS class: train | validation | curve | guarantee."""
    points: Sequence[tuple[float, float]]


class Plot(NamedTuple):
    """A curve picture and the labels that HTML puts around it."""

    svg: Markup
    x_ticks: list[tuple[float, str]]
    """(percent from the left, label)."""
    y_ticks: list[tuple[float, str]]
    """(percent from the top, label)."""
    lines: list[Line]


def plot(lines: Sequence[Line], *, percent: bool = False, label: str = "") -> Plot | None:
    """Curves in a frame of 100 x 100 units that stretches; None without a finite point."""
    finite = [line._replace(points=[p for p in line.points if all(map(math.isfinite, p))]) for line in lines]
    finite = [line for line in finite if line.points]
    if not finite:
        return None
    xs = [x for line in finite for x, _ in line.points]
    ys = [y for line in finite for _, y in line.points]
    x_low, x_high, y_low, y_high = min(xs), max(xs), min(ys), max(ys)
    pad = 0.06 * (y_high - y_low or abs(y_high) or 1.0)
    y_low, y_high = y_low - pad, y_high + pad
    across, up = Axis(x_low, x_high), Axis(y_low, y_high)
    y_marks = ticks(y_low, y_high, 4)
    shapes = [
        Markup('<line class="grid" x1="0" x2="100" y1="{0:.2f}" y2="{0:.2f}"/>').format(100 - up.place(y))
        for y in y_marks
    ]
    for line in finite:
        points = " ".join(f"{across.place(x):.2f},{100 - up.place(y):.2f}" for x, y in thin(line.points))
        shapes.append(Markup('<polyline class="{}" points="{}"/>').format(line.kind, points))
    svg = Markup(
        '<svg class="plot" viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    )
    show = (lambda v: f"{v:.0%}") if percent else (lambda v: f"{v:,.4g}")
    return Plot(
        svg.format(label, Markup("").join(shapes)),
        [(across.place(x), show(x)) for x in ticks(x_low, x_high, 5)],
        [(100 - up.place(y), show(y)) for y in y_marks],
        finite,
    )


def thin(points: Sequence[tuple[float, float]], max_points: int = 400) -> list[tuple[float, float]]:
    """About `max_points` points at most: neighbors are averaged, the first and the last stay."""
    if len(points) <= max_points:
        return list(points)
    size = math.ceil(len(points) / max_points)
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    middle = [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups]
    return [points[0], *middle[1:-1], points[-1]]


def bar(parts: Sequence[tuple[str, float]], whole: float) -> Markup:
    """A horizontal bar of stacked parts (CSS class, value) on a scale where `whole` is the full width."""
    left = 0.0
    shapes = []
    for kind, value in parts:
        width = 100 * max(0.0, value) / whole if whole > 0 else 0.0
        shapes.append(
            Markup('<rect class="{}" x="{:.2f}%" width="{:.2f}%" y="3" height="14"/>').format(escape(kind), left, width)
        )
        left += width
    return Markup('<svg class="bar" width="100%" height="20" aria-hidden="true">{}</svg>').format(
        Markup("").join(shapes)
    )
