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
"""The true count of a text lies between the estimate divided and multiplied by this (docs/exports.md: how it was measured)."""
PER_TURN = 4
"""Tokens around each turn: role and separators (OpenAI's cookbook counts 3 and 1 with a name)."""
_PIECE = re.compile(
    r"[A-Za-z]+|[0-9]{1,3}|[^\sA-Za-z0-9\x80-\U0010ffff]+|[\x80-\u02ff]+|[\u0300-\u0dff\u1e00-\u1fff]|[\u0e00-\U0010ffff]|\n+"
)


def estimate(text: str) -> int:
    """Tokens of a text as byte pair encodings with 100,000 to 200,000 entries cut it, roughly.

    Words of up to 7 letters are one token, longer ones one for each 5 further letters; up to three digits are one; signs one for
    two; letters of other alphabets one for two or three, and Chinese or Japanese characters nearly one each.
    """
    total = 0.0
    for match in _PIECE.finditer(text):
        piece = match[0]
        first = piece[0]
        if first.isascii() and first.isalpha():
            total += 1 + max(0, len(piece) - 7) / 5
        elif first.isdigit() or first == "\n":
            total += 1
        elif first.isascii():
            total += (len(piece) + 1) / 2
        elif first < "\u0300":
            total += len(piece) * 0.9
        elif first < "\u0e00" or "\u1e00" <= first < "\u2000":
            total += 0.4
        else:
            total += 0.85
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
