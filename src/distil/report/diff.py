"""Word differences between two answers, for the table of the worst. Not a metric."""

from __future__ import annotations

import difflib
import re
from typing import Literal

TOKEN = re.compile(r"\s+|\w+|[^\w\s]")
MAX_TOKENS = 1200
"""Longer texts are shown plain: the comparison is quadratic."""
MIN_RATIO = 0.35
"""Less similar texts are shown plain: marks on nearly every word would not help."""

Part = tuple[Literal["same", "gone", "new"], str]


def word_diff(before: str, after: str) -> tuple[list[Part], list[Part]]:
    """(parts of `before`: same or gone, parts of `after`: same or new); joined, they are the texts."""
    left, right = TOKEN.findall(before), TOKEN.findall(after)
    if len(left) > MAX_TOKENS or len(right) > MAX_TOKENS:
        return [("same", before)], [("same", after)]
    gone: list[Part] = []
    new: list[Part] = []
    matcher = difflib.SequenceMatcher(None, left, right, autojunk=False)
    if matcher.ratio() < MIN_RATIO:
        return [("same", before)], [("same", after)]
    for tag, a, b, c, d in matcher.get_opcodes():
        if b > a:
            gone.append(("same" if tag == "equal" else "gone", "".join(left[a:b])))
        if d > c:
            new.append(("same" if tag == "equal" else "new", "".join(right[c:d])))
    return gone, new
