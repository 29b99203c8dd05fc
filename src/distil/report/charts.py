"""Inline SVG for the page: lanes with intervals, curves, bars, histograms. Colors are CSS classes: dark mode needs nothing here.

Horizontal positions are percentages and nothing scales text, so charts are as readable on a phone as on a desktop. Every label
is escaped. The scatter of quality over money is in scatter.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from markupsafe import Markup, escape


class Axis(NamedTuple):
    """What an axis covers."""

    low: float
    high: float
    log: bool = False
    """Logarithmic; both ends positive."""

    def place(self, value: float) -> float:
        """Percent from the left, clamped to the picture."""
        return 100 * min(1.0, max(0.0, self.share(value)))

    def share(self, value: float) -> float:
        """0 at the low end, 1 at the high end, beyond them outside."""
        if self.high <= self.low:
            return 0.5
        if self.log:
            value, low, high = (math.log(max(v, 1e-300)) for v in (value, self.low, self.high))
            return (value - low) / (high - low)
        return (value - self.low) / (self.high - self.low)


class Lane(NamedTuple):
    """One row of a picture whose rows share an axis: a zone, upright lines, and an interval with its mean."""

    mean: float
    low: float | None
    high: float | None
    kind: str
    """CSS class of interval and dot."""
    thick: bool = False
    """The row that the picture is about."""


def lane(
    row: Lane, axis: Axis, *, zone: tuple[float, float] | None, lines: Sequence[tuple[float, str]], label: str
) -> Markup:
    """The picture of one row. Rows without a gap between them join into one picture, because zone and lines fill the height.

    A mean outside of the axis becomes an arrow at that edge.
    """
    height, bar = (52, 12) if row.thick else (34, 7)
    middle = height / 2
    parts = []
    if zone:
        left, right = axis.place(zone[0]), axis.place(zone[1])
        shape = '<rect class="zone" x="{:.2f}%" width="{:.2f}%" y="0" height="{}"/>'
        parts.append(Markup(shape).format(left, right - left, height))
    for value, kind in lines:
        x = axis.place(value)
        parts.append(
            Markup('<line class="{}" x1="{:.2f}%" x2="{:.2f}%" y1="0" y2="{}"/>').format(escape(kind), x, x, height)
        )
    share = axis.share(row.mean)
    if -1e-9 <= share <= 1 + 1e-9:
        if row.low is not None and row.high is not None:
            x1, x2 = axis.place(row.low), axis.place(row.high)
            shape = '<rect class="span" x="{:.2f}%" width="{:.2f}%" y="{}" height="{}" rx="{}"/>'
            parts.append(Markup(shape).format(x1, max(0.3, x2 - x1), middle - bar / 2, bar, bar / 2))
        dot = '<circle class="dot" cx="{:.2f}%" cy="{}" r="{}"/>'
        parts.append(Markup(dot).format(axis.place(row.mean), middle, 6.5 if row.thick else 4.5))
    else:
        x, points = (0, "0,0 9,-5 9,5") if share < 0 else (100, "0,0 -9,-5 -9,5")
        shape = '<svg x="{}%" y="{}" overflow="visible"><polygon class="dot" points="{}"/></svg>'
        parts.append(Markup(shape).format(x, middle, points))
    return Markup('<svg class="lane {}" width="100%" height="{}" role="img" aria-label="{}">{}</svg>').format(
        row.kind, height, label, Markup("").join(parts)
    )


def ticks(low: float, high: float, max_ticks: int = 5) -> list[float]:
    """At most `max_ticks` + 1 round numbers that cover the range: steps of 1, 2 or 5 times a power of ten."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low] if math.isfinite(low) else []
    rough = (high - low) / max_ticks
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten inside the range; only the powers where these would be more than seven."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    inside = [tick for tick in every if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
    if len(inside) > 7:
        inside = [tick for tick in inside if abs(math.log10(tick) - round(math.log10(tick))) < 1e-9]
    return inside


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


def plain(value: float) -> str:
    """A number on an axis."""
    return f"{value:,.4g}"


def whole_percent(value: float) -> str:
    """A share on an axis."""
    return f"{value:.0%}"


def plot(
    lines: Sequence[Line],
    *,
    log: bool = False,
    label: str = "",
    show_x: Callable[[float], str] = plain,
    show_y: Callable[[float], str] = plain,
) -> Plot | None:
    """Curves in a frame of 100 x 100 units that stretches; None without a finite point. `log` = the upright axis."""
    usable = [
        line._replace(points=[p for p in line.points if all(map(math.isfinite, p)) and not (log and p[1] <= 0)])
        for line in lines
    ]
    finite = [line for line in usable if line.points]
    if not finite:
        return None
    xs = [x for line in finite for x, _ in line.points]
    ys = [y for line in finite for _, y in thin(line.points)]
    across, up = Axis(min(xs), max(xs)), _padded(min(ys), max(ys), log)
    y_marks = log_ticks(up.low, up.high) if log else ticks(up.low, up.high, 4)
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
    return Plot(
        svg.format(label, Markup("").join(shapes)),
        [(across.place(x), show_x(x)) for x in ticks(across.low, across.high, 5)],
        [(100 - up.place(y), show_y(y)) for y in y_marks],
        finite,
    )


def _padded(low: float, high: float, log: bool) -> Axis:
    if log:
        factor = (high / low) ** 0.06 if high > low else 1.3
        return Axis(low / factor, high * factor, log=True)
    pad = 0.06 * (high - low or abs(high) or 1.0)
    return Axis(low - pad, high + pad)


def thin(points: Sequence[tuple[float, float]], max_points: int = 200) -> list[tuple[float, float]]:
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
        shape = '<rect class="{}" x="{:.2f}%" width="{:.2f}%" y="3" height="14"/>'
        shapes.append(Markup(shape).format(escape(kind), left, width))
        left += width
    return Markup('<svg class="bar" width="100%" height="20" aria-hidden="true">{}</svg>').format(
        Markup("").join(shapes)
    )


def histogram(values: Sequence[float], axis: Axis, kind: str, *, bins: int = 40, label: str = "") -> Markup:
    """How values are spread over the axis; the highest column fills the height. Values outside count in the outermost bins."""
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, max(0, int(axis.place(value) / 100 * bins)))] += 1
    top = max(counts, default=0) or 1
    shapes = [
        Markup('<rect x="{:.2f}%" width="{:.2f}%" y="{:.1f}" height="{:.1f}"/>').format(
            100 * n / bins, 100 / bins - 0.25, 46 - 44 * count / top, 44 * count / top
        )
        for n, count in enumerate(counts)
        if count
    ]
    return Markup('<svg class="histogram {}" width="100%" height="46" role="img" aria-label="{}">{}</svg>').format(
        kind, label, Markup("").join(shapes)
    )
