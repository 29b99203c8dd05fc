"""Numbers as people read them: the filters of the page's template. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Callable

from markupsafe import Markup, escape

from distil import progress
from distil.runs.schemas.interval import Interval
from distil.text import visible

SHARES = {
    "field_accuracy", "numeric_accuracy", "choice_accuracy", "accuracy", "field_agreement", "numeric_agreement",
    "label_agreement", "exact_match", "tool_calls", "tool_name", "tool_arguments", "similar_share", "valid_json",
    "number_mismatch", "changed_numbers", "new_names", "reversed", "refusal", "truncated", "empty",
    "bad_format", "schema_invalid", "length_off", "repeated", "judge",
}  # fmt: skip
"""Metrics that are shares of the prompts, or of what an answer has to hold: shown in percent."""
MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EN DASH}"


def number(value: float | None, digits: int = 3) -> str:
    """Fixed decimals with a real minus sign; a dash for None and NaN."""
    if value is None or math.isnan(value):
        return NOTHING
    return f"{value:,.{digits}f}".replace("-", MINUS)


def percent(value: float | None, digits: int = 1) -> str:
    """0.9123 -> 91.2%."""
    return NOTHING if value is None else number(100 * value, digits) + "%"


def figure(metric: str, value: float | None) -> str:
    """A metric's mean: percent where it is a share, three decimals otherwise."""
    return percent(value) if metric in SHARES else number(value)


def span(metric: str, interval: Interval) -> str:
    """`91.2 – 95.0%`, or `no interval`."""
    if interval.low is None or interval.high is None:
        return "no interval"
    if metric in SHARES:
        return f"{number(100 * interval.low, 1)} to {number(100 * interval.high, 1)}%"
    return f"{number(interval.low)} to {number(interval.high)}"


def ends(metric: str, interval: Interval) -> str:
    """The ends of an interval alone, `91.2–95.0`; empty where there is none. Unlike ±, they never leave [0, 1]."""
    if interval.low is None or interval.high is None:
        return ""
    scale, digits = (100, 1) if metric in SHARES else (1, 3)
    return f"{number(scale * interval.low, digits)}–{number(scale * interval.high, digits)}"


def signed(interval: Interval, metric: str) -> str:
    """A difference with its sign: in points for shares."""
    share = metric in SHARES
    value = 100 * interval.mean if share else interval.mean
    text = number(value, 1 if share else 3)
    return f"+{text}" if value > 0 else text


def figure_of(value: float, metric: str) -> str:
    """`figure` for a template, the value first."""
    return figure(metric, value)


def dollars(value: float | None) -> str:
    """As on the command line, with a real minus sign; a dash for None."""
    return NOTHING if value is None else progress.dollars(value).replace("-", MINUS)


def axis_dollars(value: float) -> str:
    """A round amount on an axis, as short as it can be: $0.5, $30, $1,500, $12k."""
    return "$" + (f"{value:g}" if value < 10 else count(value).replace(".0", ""))


def count(value: float | None) -> str:
    """1,234 below ten thousand, then 12.3k, 1.2M, 7.1B."""
    if value is None:
        return NOTHING
    for size, mark in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            scaled = value / (1e3 if mark == "k" else size)
            return f"{scaled:,.1f}{mark}" if scaled < 100 else f"{scaled:,.0f}{mark}"
    return f"{value:,.0f}"


def seconds(value: float | None) -> str:
    """Milliseconds below one second."""
    if value is None:
        return NOTHING
    return f"{1000 * value:,.0f} ms" if value < 1 else f"{value:,.1f} s"


def size(value: float | None) -> str:
    """Bytes in MB or GB."""
    if value is None:
        return NOTHING
    return f"{value / 1e9:,.1f} GB" if value >= 1e9 else f"{value / 1e6:,.1f} MB"


def p_value(value: float | None) -> str:
    """`< 0.001` or three decimals."""
    if value is None:
        return NOTHING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def in_code(text: str) -> Markup:
    """A sentence with `commands` in backticks as escaped markup, its first letter a capital."""
    parts = (text[:1].upper() + text[1:]).split("`")
    if len(parts) % 2 == 0:  # a backtick without its partner marks nothing
        return escape(shown(text))
    pieces = [Markup("<code>{}</code>" if n % 2 else "{}").format(shown(part)) for n, part in enumerate(parts)]
    return Markup("").join(pieces)


def shown(value: object) -> object:
    """What the page shows of a value: texts with everything unseen made visible (distil.text.visible), markup as it is."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


FILTERS: dict[str, Callable[..., str]] = {
    "number": number, "percent": percent, "dollars": dollars, "count": count, "seconds": seconds, "size": size,
    "p_value": p_value, "figure_of": figure_of, "ends": ends, "signed": signed, "in_code": in_code,
}  # fmt: skip
