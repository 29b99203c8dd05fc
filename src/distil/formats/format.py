"""What a format is: what it holds, its limits, how a row becomes a line and a line a row again.

Not the formats themselves: chat.py, clouds.py, trainers.py, preference.py, tables.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from distil.formats.rows import Line, Row
from distil.records import Record

READ_ON = "2026-11-29"
"""The day the providers' pages and packages were read, unless a format says otherwise."""


class Capabilities(Record):
    """What a row of the format can have. A row that has more is left out."""

    roles: frozenset[str] = frozenset({"system", "user", "assistant"})
    """Authors of turns."""
    system: Literal["anywhere", "first", "apart"] = "first"
    """Where instructions may stand: anywhere, as the one first turn, or in a field of their own (so only before all turns)."""
    turns: Literal["any", "alternating", "one"] = "any"
    """any order; user and assistant in turn, user first; or one question with one answer."""
    weight: bool = False
    """Whether an earlier answer can be context only (weight 0 in OpenAI's convention)."""
    trained: Literal["all", "last", "pair"] = "all"
    """Which answers its trainers learn: all of a conversation (but those of weight 0), the last one, or a pair's difference."""
    tools: bool = False
    """Tool definitions, calls and results."""
    images: Literal["any", "embedded", "none"] = "none"
    """Images in user turns: by address or embedded as base64; only embedded; not at all."""
    reasoning: bool = False
    """The teacher's thinking beside its answer."""
    names: bool = False
    """Names of a turn's author."""


class Limits(Record):
    """What a provider says about the size of a file. None = it says nothing."""

    min_rows: int = 1
    """Fewest examples of the training file."""
    max_rows: int | None = None
    """Most examples of the training file."""
    max_validation_rows: int | None = None
    """Most examples of the validation file."""
    max_bytes: int | None = None
    """Size of one file."""
    max_tokens: int | None = None
    """Tokens of one example, for the model with the longest context; a smaller model takes less."""
    source: str = ""
    """Where it is said: a page or a package."""
    read: str = READ_ON
    """The day it was read there."""


class Format(NamedTuple):
    """One format. Build lines with `convert.py`, files with `write.py`, reports with `check.py`."""

    name: str
    """As in `distil export --data NAME`."""
    title: str
    """Who reads it, in a few words."""
    holds: Capabilities
    """What a row can have."""
    limits: Limits
    """How many and how large."""
    to_line: Callable[[Row], Line]
    """A row that passed the capabilities -> its line."""
    to_row: Callable[[Line, str], Row]
    """A line and its key -> the row it says. Raises ValueError with what is wrong, in one clause."""
    pairs: bool = False
    """Whether it holds preference pairs instead of examples."""
    container: Literal["jsonl", "parquet"] = "jsonl"
    """What the file is."""
    bom: bool = False
    """Whether the file starts with a byte order mark."""
    card: bool = False
    """Whether a card (README.md) with the data's lineage is beside the files."""

    @property
    def suffix(self) -> str:
        """The files' ending, with its dot."""
        return f".{self.container}"
