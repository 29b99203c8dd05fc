"""Reads parts of a provider's replies without trusting their shape: a text, a number, an error's words, a share, a time."""

from __future__ import annotations

import math
from datetime import datetime

from distil.calls.providers.common import shorten, words


def text_of(value: object) -> str:
    """A text; empty for anything else."""
    return value if isinstance(value, str) else ""


def number(value: object) -> float | None:
    """A finite number, also one that is written as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def said_of(error: object) -> str:
    """The words of an error object or text, short and visible; empty where it has none."""
    return shorten(words(error), None)


def share_of(done: object, total: object) -> float | None:
    """done / total between 0 and 1; None where they aren't numbers."""
    part, whole = number(done), number(total)
    return None if part is None or not whole or whole < 0 else min(1.0, max(0.0, part / whole))


def seconds_between(first: object, second: object) -> float | None:
    """Between two ISO times; None where one is missing or is none."""
    try:
        return (datetime.fromisoformat(str(second)) - datetime.fromisoformat(str(first))).total_seconds()
    except (ValueError, TypeError):
        return None
