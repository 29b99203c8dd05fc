"""Objects that are nearly JSON, as Gemma 4 writes the arguments of its calls: {city:<|"|>Rome<|"|>,days:3}.

Keys are bare or quoted, texts stand between a mark of their own and hold whatever is not that mark; the rest is JSON's.
"""

from __future__ import annotations

import json
import re

_BARE = re.compile(r"[^\s,:{}()\[\]]+")
_BLANKS = re.compile(r"\s*")
DEEPEST = 50


def value_at(text: str, start: int, quote: str = '"') -> tuple[object, int] | None:
    """Any value that begins at `start`, and where it ends; None where none can be read.

    quote: the mark around a text, beside JSON's own.
    """
    try:
        return _value(text, start, quote, DEEPEST)
    except (ValueError, IndexError):
        return None


def _value(text: str, at: int, quote: str, depth: int) -> tuple[object, int]:
    """A value and where it ends. Raises ValueError or IndexError where there is none."""
    at = _skip(text, at)
    if depth == 0:
        raise ValueError("nested too deep")
    if text[at] == "{":
        return _members(text, at + 1, quote, depth)
    if text[at] == "[":
        return _items(text, at + 1, quote, depth)
    if text.startswith(quote, at):
        end = text.index(quote, at + len(quote))
        return text[at + len(quote) : end], end + len(quote)
    if text[at] == '"':
        return json.JSONDecoder().raw_decode(text, at)
    word = _BARE.match(text, at)
    if word is None:
        raise ValueError("neither a value nor a mark")
    try:
        return json.loads(word[0]), word.end()
    except json.JSONDecodeError:
        return {"None": None, "True": True, "False": False}.get(word[0], word[0]), word.end()


def _members(text: str, at: int, quote: str, depth: int) -> tuple[dict[str, object], int]:
    found: dict[str, object] = {}
    while text[at := _skip(text, at)] != "}":
        key, at = _value(text, at, quote, 1 + depth) if _is_quoted(text, at, quote) else _word(text, at)
        at = _skip(text, at)
        if text[at] != ":":
            raise ValueError("a key without a value")
        found[str(key)], at = _value(text, at + 1, quote, depth - 1)
        at = _after_comma(text, at, "}")
    return found, at + 1


def _items(text: str, at: int, quote: str, depth: int) -> tuple[list[object], int]:
    found: list[object] = []
    while text[at := _skip(text, at)] != "]":
        value, at = _value(text, at, quote, depth - 1)
        found.append(value)
        at = _after_comma(text, at, "]")
    return found, at + 1


def _is_quoted(text: str, at: int, quote: str) -> bool:
    return text[at] == '"' or text.startswith(quote, at)


def _word(text: str, at: int) -> tuple[str, int]:
    word = _BARE.match(text, at)
    if word is None:
        raise ValueError("no key")
    return word[0], word.end()


def _after_comma(text: str, at: int, close: str) -> int:
    at = _skip(text, at)
    if text[at] == ",":
        return at + 1
    if text[at] != close:
        raise ValueError("neither a comma nor the end")
    return at


def _skip(text: str, at: int) -> int:
    found = _BLANKS.match(text, at)
    return found.end() if found else at
