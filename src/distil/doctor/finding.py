"""What a check returns."""

from __future__ import annotations

from typing import Literal

from distil.records import Record

Level = Literal["ok", "warn", "problem", "unknown"]


class Finding(Record):
    """One check's outcome: evidence with numbers, what it means, and what to type."""

    check: str = ""
    """Name of the check in `checks.CHECKS`, such as `too few examples`; set when the checks are run."""
    level: Level
    """ok; warn = look at it; problem = fix it first; unknown = there is no evidence yet."""
    seen: str
    """The evidence, with numbers and where they come from."""
    why: str = ""
    """Why it matters."""
    fix: str = ""
    """Exactly what to type or to set in distil.yaml."""
