"""How much the grammar can say: its content frames, the readings of a phrase, a lower bound of the distinct messages."""

from __future__ import annotations

from distil.bundled.triage.grammar import FRAMES, KINDS, Parsed, Split, parse
from distil.bundled.triage.surroundings import TABLES


def _count(parsed: Parsed) -> int:
    total = 1
    for part in parsed:
        if not isinstance(part, str):
            total *= sum(_count(reading) for reading in part)
    return total


def count(text: str) -> int:
    """How many readings the phrase has (slots count once)."""
    return _count(parse(text))


def content_frames(split: Split) -> dict[str, str]:
    """Every content frame of a split: its id (the `group` of its messages) -> its phrase."""
    return {
        f"{intent}-{kind}-{split}{index:02d}": phrase
        for intent, splits in FRAMES.items()
        for kind in KINDS
        for index, phrase in enumerate(splits[split][kind])
    }


def combinations(split: Split) -> int:
    """A lower bound of the distinct messages: request sentence x product name x one opener x one closer."""
    requests = 0
    for splits in FRAMES.values():
        for kind in KINDS:
            forms = sum(count(form) for form in TABLES[kind][split]) if kind != "tell" else 1
            requests += forms * sum(count(phrase) for phrase in splits[split][kind])
    around = 1
    for table in ("object", "opener", "closer"):
        around *= sum(count(entry) for entry in TABLES[table][split])
    return requests * around
