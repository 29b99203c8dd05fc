"""What the teacher's answers to one API key cost: rows of work/serve/spending.jsonl, added while the gateway runs."""

from __future__ import annotations

from pydantic import Field

from distil.records import Record


class KeySpending(Record):
    """Dollars of a key on a day; the rows of a key and a day add up."""

    name: str
    """The key's name; a key and the one that replaces it have one."""
    day: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    """UTC."""
    usd: float = Field(ge=0)
    """What was paid, or may have been paid."""
    answers: int = Field(default=1, ge=0)
    """The teacher's answers that it paid for."""
