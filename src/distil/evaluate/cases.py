"""What a metric looks at: one answer beside the teacher's and, where there is one, the right answer.

Not a metric. Made by scoring.py and compared by metrics.py, fields.py and similarity.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

FENCE = re.compile(r"\A\s*```[a-zA-Z]*\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL)
BLANKS = re.compile(r"\s+")


class Case(NamedTuple):
    """One answer to judge."""

    prompt: str
    """All turns that were shown to the model, joined."""
    answer: str
    """What the model said."""
    teacher: str | None
    """What the teacher said; None when the answer is the teacher's own."""
    reference: str | None
    """The right answer, where the user has one."""
    finish_reason: str = "stop"
    """stop | length."""


def parse_object(text: str | None) -> dict[str, Any] | None:
    """The JSON object that a text is (one surrounding code fence allowed), or None."""
    if not text:
        return None
    fenced = FENCE.match(text)
    try:
        value = json.loads(fenced.group(1) if fenced else text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def normal(text: str) -> str:
    """Without case and with single blanks: what counts as the same answer."""
    return BLANKS.sub(" ", text).strip().casefold()


def same_value(left: Any, right: Any) -> bool:
    """Equality of two JSON values: strings without case and outer blanks, numbers by value, true is not 1."""
    if isinstance(left, str) and isinstance(right, str):
        return normal(left) == normal(right)
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        return left == right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(same_value(a, b) for a, b in zip(left, right, strict=True))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same_value(left[key], right[key]) for key in left)
    return left is None and right is None


def same_fields(answer: str, target: Mapping[str, Any]) -> dict[str, float]:
    """1 or 0 for each field of the target object. A missing field or an answer that is no object is 0; extra fields are free."""
    found = parse_object(answer) or {}
    return {name: float(name in found and same_value(found[name], value)) for name, value in target.items()}
