"""Quality over money: one dot per model, with its interval, and the curve of student and teacher together.

Drawn for a fixed width in pixels, once for a desktop and once for a phone, because labels have to be placed beside dots without
covering each other; the page's style shows the one that fits.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

from markupsafe import Markup, escape

from distil.report import charts, formatting

Scale = Callable[[float], float]
"""A value -> pixels."""

LETTER = 7.2  # width of a letter at 13 px, generously
LINE = 16.0
LEFT, RIGHT, TOP, BOTTOM = 54, 16, 20, 44


class Dot(NamedTuple):
    """One model."""

    label: str
    kind: str
    """CSS class."""
    usd: float
    """Dollars per million requests."""
    value: float
    low: float | None
    high: float | None


class Box(NamedTuple):
    """A rectangle in pixels."""

    x: float
    y: float
    width: float
    height: float

    def overlap(self, other: Box) -> float:
        """Area that both cover."""
        wide = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        tall = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        return max(0.0, wide) * max(0.0, tall)


def scatter(
    dots: Sequence[Dot], curve: Sequence[tuple[float, float]], metric: str, *, width: int, height: int
) -> Markup:
    """The picture at one width. The lower axis is logarithmic. `curve` = (dollars, quality) from few answers to all."""
    across, up = _axes(dots, curve)

    def x(usd: float) -> float:
        return LEFT + (width - LEFT - RIGHT) * across.place(usd) / 100

    def y(value: float) -> float:
        return height - BOTTOM - (height - TOP - BOTTOM) * up.place(value) / 100

    shapes = [*_frame(across, up, metric, width, height, x, y)]
    if curve:
        points = " ".join(f"{x(usd):.1f},{y(value):.1f}" for usd, value in charts.thin(curve, 60))
        shapes.append(Markup('<polyline class="together" points="{}"/>').format(points))
    taken = [Box(x(d.usd) - 7, y(d.value) - 7, 14, 14) for d in dots]
    taken += _along([(x(usd), y(value)) for usd, value in charts.thin(curve, 60)])
    taken += [
        Box(x(d.usd) - 3, y(d.high), 6, y(d.low) - y(d.high)) for d in dots if d.low is not None and d.high is not None
    ]
    frame = Box(LEFT, 2, width - LEFT - 2, height - BOTTOM - 2)
    for dot in dots:
        spot = Markup('<g class="{}">{}<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="6"/></g>')
        shapes.append(spot.format(dot.kind, _whisker(dot, x, y), x(dot.usd), y(dot.value)))
    for dot in dots:
        box = _label_box(dot.label, x(dot.usd), y(dot.value), taken, frame)
        taken.append(box)
        text = Markup('<text class="name {}" x="{:.1f}" y="{:.1f}">{}</text>')
        shapes.append(text.format(dot.kind, box.x, box.y + 12.5, dot.label))
    spoken = "; ".join(
        f"{d.label}: {formatting.figure(metric, d.value)} at {formatting.dollars(d.usd)} per million requests"
        for d in dots
    )
    return Markup('<svg class="scatter" width="{}" height="{}" role="img" aria-label="{}">{}</svg>').format(
        width, height, spoken, Markup("").join(shapes)
    )


def _along(points: Sequence[tuple[float, float]]) -> list[Box]:
    """Small boxes along a curve, so that labels keep off it."""
    boxes = []
    for (x1, y1), (x2, y2) in itertools.pairwise(points):
        steps = max(1, int(max(abs(x2 - x1), abs(y2 - y1)) / 6))
        boxes += [Box(x1 + (x2 - x1) * n / steps - 3, y1 + (y2 - y1) * n / steps - 3, 6, 6) for n in range(steps + 1)]
    return boxes


def _axes(dots: Sequence[Dot], curve: Sequence[tuple[float, float]]) -> tuple[charts.Axis, charts.Axis]:
    money = [d.usd for d in dots] + [usd for usd, _ in curve]
    quality = [v for d in dots for v in (d.value, d.low, d.high) if v is not None] + [value for _, value in curve]
    low, high = min(quality), max(quality)
    pad = 0.1 * (high - low or 0.1)
    return charts.Axis(min(money) / 1.7, max(money) * 1.7, log=True), charts.Axis(low - pad, high + pad)


def _frame(
    across: charts.Axis, up: charts.Axis, metric: str, width: int, height: int, x: Scale, y: Scale
) -> list[Markup]:
    shapes = []
    for value in charts.ticks(up.low, up.high, 4):
        label = formatting.percent(value, 0) if metric in formatting.SHARES else f"{value:.2f}"
        line = '<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/><text class="tick end" x="{}" y="{:.1f}">{}</text>'
        shapes.append(Markup(line).format(LEFT, width - RIGHT, y(value), y(value), LEFT - 8, y(value) + 4, label))
    bottom = height - BOTTOM
    for usd in charts.log_ticks(across.low, across.high):
        line = '<line class="grid" x1="{:.1f}" x2="{:.1f}" y1="{}" y2="{}"/><text class="tick middle" x="{:.1f}" y="{}">{}</text>'
        label = f"${usd:,.0f}" if usd >= 1 else f"${usd:g}"
        shapes.append(Markup(line).format(x(usd), x(usd), TOP - 8, bottom, x(usd), bottom + 17, escape(label)))
    title = '<text class="tick end" x="{}" y="{}">$ per million requests</text>'
    shapes.append(Markup(title).format(width - RIGHT, bottom + 36))
    return shapes


def _whisker(dot: Dot, x: Scale, y: Scale) -> Markup:
    if dot.low is None or dot.high is None:
        return Markup("")
    line = '<line class="whisker" x1="{0:.1f}" x2="{0:.1f}" y1="{1:.1f}" y2="{2:.1f}"/>'
    return Markup(line).format(x(dot.usd), y(dot.low), y(dot.high))


def _label_box(label: str, x: float, y: float, taken: Sequence[Box], frame: Box) -> Box:
    """Where a label covers least: right, left, above or below its dot, a little further off where needed."""
    wide = LETTER * len(label)
    tries = [
        Box(place, y + down, wide, LINE)
        for far in (0, 12, 26)
        for place, down in (
            (x + 11, -8 - far), (x - 11 - wide, -8 - far), (x - wide / 2, -26 - far), (x - wide / 2, 10 + far),
            (x + 11, -8 + far), (x - 11 - wide, -8 + far), (x + 6, -24 - far), (x - 6 - wide, 10 + far),
        )
    ]  # fmt: skip

    def cost(box: Box) -> float:
        outside = box.width * box.height - box.overlap(frame)
        return sum(box.overlap(other) for other in taken) + 4 * outside

    return min(tries, key=cost)
