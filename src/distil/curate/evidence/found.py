"""One measurement in memory, and the types of the functions that make them. The table of those functions: signals.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from distil.curate.evidence.corpus import Corpus, Pair
from distil.records import Answer, Prompt


class Found(NamedTuple):
    """One measurement: a `Signal` of Evidence as long as it is in memory."""

    value: float
    """In the unit of its field in Evidence."""
    detail: str | None = None
    """What was found, in one line."""


RowSignal = Callable[[Prompt, Answer, Corpus], Found | None]
"""Measures one answer; None = nothing to say."""
WholeSignal = Callable[[Sequence[Pair], Corpus], Sequence[Found | None]]
"""Measures all answers; one result per pair, in their order."""
Signals = dict[str, Found]
"""All that was found about one answer, by signal."""
