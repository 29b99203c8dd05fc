"""How many tokens a row has, where the provider's tokenizer is not at hand: an estimate, with how far it may be off."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from distil.formats.rows import Row
from distil.formats.wire import turn_wire

TokenCounter = Callable[[str], int]
"""Text -> tokens, by a real tokenizer."""
MARGIN = 1.5
"""The true count of a text lies between the estimate divided and multiplied by this (docs/results_data.md: 0.90 to 1.09)."""
PER_TURN = 4
"""Tokens around each turn: role and separators (OpenAI's cookbook counts 3 and 1 with a name)."""
_WORD = re.compile(r"[A-Za-z]+")
_LONG = re.compile(r"(?<![A-Za-z])[A-Za-z]{8,}")
_DIGITS = re.compile(r"[0-9]{1,3}|\n+")
_SIGNS = re.compile(r"[!-/:-@\[-`{-~]+")
_ACCENTED = re.compile(r"[\x80-\u02ff]")
_ALPHABETS = re.compile(r"[\u0300-\u0dff\u1e00-\u1fff]")
_OTHERS = re.compile(r"[\u0e00-\u1dff\u2000-\U0010ffff]")


def estimate(text: str) -> int:
    """Tokens of a text as byte pair encodings with 100,000 to 200,000 entries cut it, roughly.

    Words of up to 7 letters are one token, longer ones one more for each 5 further letters; up to three digits are one, and so
    are line ends in a row; two signs are one; a letter with an accent is 0.9, one of another alphabet 0.4, and a Chinese or
    Japanese character 0.85.
    """
    signs = _SIGNS.findall(text)
    total = len(_WORD.findall(text)) + len(_DIGITS.findall(text)) + (sum(map(len, signs)) + len(signs)) / 2
    long = _LONG.findall(text)
    total += (sum(map(len, long)) - 7 * len(long)) / 5
    if not text.isascii():
        total += 0.9 * len(_ACCENTED.findall(text)) + 0.4 * len(_ALPHABETS.findall(text))
        total += 0.85 * len(_OTHERS.findall(text))
    return round(total)


def row_tokens(row: Row, count: TokenCounter = estimate) -> int:
    """Tokens of a row: its turns (both answers of a pair) with what stands around them, and its tools. Images are not counted."""
    turns = [*row.messages, row.rejected] if row.rejected else list(row.messages)
    total = PER_TURN
    for turn in turns:
        said = [turn.text, turn.reasoning_content or ""]
        if turn.tool_calls:
            said.append(json.dumps(turn_wire(turn)["tool_calls"], ensure_ascii=False))
        total += PER_TURN + sum(count(text) for text in said if text)
    return total + (count(json.dumps(list(row.tools), ensure_ascii=False)) if row.tools else 0)
