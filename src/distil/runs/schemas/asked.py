"""work/collect/rounds.json: which command chooses in rounds what is asked (`distil until`, `distil collect --active`).

It is there from the first of those rounds until somebody asks for all. Meanwhile `distil run` collects nothing.
"""

from __future__ import annotations

from pathlib import Path

from distil.records import Record
from distil.runs.jsonl import read_document


class AskedInRounds(Record):
    """The content of rounds.json."""

    command: str
    """What goes on with the rounds."""
    over: bool = False
    """They ended as that command meant them to."""
    settings: dict[str, object]
    """Teachers, sampling and samples of what was asked, as in the manifest of `collect`."""


def read_asked(path: Path) -> AskedInRounds | None:
    """None where nothing was asked in rounds, or all was asked since."""
    return read_document(path, AskedInRounds, command="distil collect") if path.exists() else None
