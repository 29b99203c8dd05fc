"""Signal `repetition`: a model that loops."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from distil.curate.evidence.corpus import Corpus
from distil.curate.evidence.found import Found
from distil.records import Answer, Prompt

_LOOP_WORDS = 30
_LOOP_CHARACTERS = 120
_LOOP_REPEATS = 4
_MAX_PERIOD = 40
_COMPRESSED_LOOP = 0.2  # deflated size / size below which a text is searched for loops of characters


def repetition(prompt: Prompt, answer: Answer, corpus: Corpus) -> Found | None:
    """A block of words (or of characters, without blanks) repeats at least four times in a row."""
    words = answer.text.split()
    if len(words) >= _LOOP_WORDS:
        ids = np.unique(np.array(words, dtype=object).astype(str), return_inverse=True)[1]
        loop = _longest_loop(ids, _LOOP_WORDS)
        if loop:
            period, start = loop
            return Found(1, f"loops: “{' '.join(words[start : start + period])[:60]}” over and over")
    raw = answer.text.encode("utf-8", "surrogatepass")
    if len(raw) >= _LOOP_CHARACTERS and len(zlib.compress(raw, 1)) < _COMPRESSED_LOOP * len(raw):
        codes = np.frombuffer(answer.text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        loop = _longest_loop(codes, _LOOP_CHARACTERS)
        if loop:
            period, start = loop
            block = answer.text[start : start + period]
            if any(character.isalnum() for character in block):  # not for rules of dashes and table borders
                return Found(1, f"loops: “{block}” over and over")
    return None


def _longest_loop(items: NDArray[np.integer], min_length: int) -> tuple[int, int] | None:
    """(period, start) of a block that repeats at least four times and covers `min_length` items, shortest period first."""
    for period in range(1, _MAX_PERIOD + 1):
        if items.size <= period:
            break
        differs = np.flatnonzero(items[period:] != items[:-period])
        edges = np.concatenate(([-1], differs, [items.size - period]))
        runs = np.diff(edges) - 1  # equal neighbors at distance `period`, in a row
        longest = int(runs.argmax())
        if runs[longest] + period >= max(min_length, _LOOP_REPEATS * period):
            return period, int(edges[longest]) + 1
    return None
