"""The shape of the requests that a threshold was found on; part of work/serve/NAME/calibration.json."""

from __future__ import annotations

from distil.records import Record


class Shape(Record):
    """What the labeled requests have in common. A list of hashes that is None: the labels' own varied from row to row."""

    temperature: float
    """At which the student answered."""
    max_tokens: int
    """Answer tokens that it was allowed: what a longer answer is worth was never seen."""
    answer_tokens: int
    """Of its longest answer: a request that allows fewer may cut what was measured whole."""
    system: list[str] | None
    """Hashes of the system prompts."""
    system_characters: int
    """Of the longest system prompt."""
    tools: list[str] | None
    """Hashes of the sets of tools with the choice among them."""
    response_format: list[str] | None
    """Hashes of the response formats."""
    turns: int
    """Most turns, the system prompt not counted."""
    last: list[str]
    """Roles of the last turn."""
    characters: tuple[int, int]
    """Fewest and most characters of all turns, the system prompt not counted."""
