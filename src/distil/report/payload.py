"""Packs the explorer's rows into the page: JSON, gzip, base64; the page's script unpacks it with DecompressionStream.

The page has to go by mail, so it stays under 5 MB: where all answers do not fit, long texts are cut, and the page says so.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Mapping
from typing import NamedTuple

from distil.text import Json

MAX_BYTES = 4_200_000  # of base64: leaves 0.8 MB for the rest of a page of 5 MB
LONGEST_TEXT = 20_000  # characters: more is not read on a page
SHORTEST_TEXT = 120

Cut = str | list[Json]
"""A text, or [its beginning, how many characters are left out]."""


class Packed(NamedTuple):
    """What the page carries."""

    data: str
    """base64 of gzip of JSON."""
    cut: int | None
    """Longest text in characters; None = no text was cut."""


class Cutter:
    """Cuts texts at `length` characters and remembers whether it had to."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.used = False

    def __call__(self, text: str) -> Cut:
        """The text, or its beginning and the number of characters left out."""
        if len(text) <= self.length:
            return text
        self.used = True
        return [text[: self.length], len(text) - self.length]


def pack(build: Callable[[Cutter], Mapping[str, Json]], max_bytes: int = MAX_BYTES) -> Packed:
    """Packs what `build` makes, with the longest texts that fit into `max_bytes`.

    The length is halved until it fits; texts are never cut below 120 characters, so that a page about an extreme number of
    prompts becomes larger rather than empty.
    """
    length = LONGEST_TEXT
    while True:
        cutter = Cutter(length)
        data = encode(build(cutter))
        if len(data) <= max_bytes or length <= SHORTEST_TEXT:
            return Packed(data, length if cutter.used else None)
        length = max(SHORTEST_TEXT, length // 2)


def encode(value: Mapping[str, Json]) -> str:
    """base64 of gzip of JSON, the same for the same value. Halves of surrogate pairs become question marks."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode("utf-8", "replace"), 9, mtime=0)).decode("ascii")
