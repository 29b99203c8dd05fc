"""What a person says about an answer: one row of work/curate/marks.jsonl. The last row of an answer counts.

Written by `distil view`; `distil curate` follows it over its filters. Reading and undoing: distil/runs/marks.py.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from distil.records import Record


class Mark(Record):
    """One person's word on one answer."""

    answer_id: str
    """The answer."""
    prompt_id: str
    """Its prompt."""
    mark: Literal["good", "bad", "edited", "none"]
    """good = kept over all filters and other answers; bad = dropped; edited = `text` is trained on; none = takes a mark back."""
    text: str | None = None
    """The person's own answer, where edited; None otherwise."""
    reason: str = ""
    """Why, in the person's words."""
    created: str
    """ISO 8601, UTC."""

    @model_validator(mode="after")
    def _text_where_edited(self) -> Self:
        if (self.mark == "edited") != bool(self.text and self.text.strip()):
            raise ValueError("an edited answer, and only that, has a text")
        return self
