"""Phrases with choices: parse `[a|b]`, draw one reading, fill its slots.

Not the choice of phrases: `compose` decides which ones make up a message.
"""

from __future__ import annotations

import random
import re
from functools import cache
from typing import Literal

from distil.bundled.triage import frames_goods, frames_help, frames_money, frames_orders
from distil.bundled.triage.surroundings import TABLES

Split = Literal["train", "test"]
Kind = Literal["wish", "ask", "tell"]
KINDS: tuple[Kind, ...] = ("wish", "ask", "tell")
FRAMES: dict[str, dict[str, dict[str, tuple[str, ...]]]] = {
    **frames_money.FRAMES,
    **frames_goods.FRAMES,
    **frames_orders.FRAMES,
    **frames_help.FRAMES,
}
_SLOT = re.compile(r"\{(\w+)\}")

# A parsed phrase: literal strings, and choices between parsed phrases.
Parsed = tuple["str | tuple[Parsed, ...]", ...]


def _parse(text: str, at: int, closing: bool) -> tuple[list[Parsed], int]:
    readings: list[Parsed] = []
    parts: list[str | tuple[Parsed, ...]] = []
    literal = ""
    while at < len(text):
        char = text[at]
        if char == "[":
            if literal:
                parts.append(literal)
                literal = ""
            inner, at = _parse(text, at + 1, True)
            parts.append(tuple(inner))
            continue
        if closing and char in "|]":
            readings.append((*parts, literal) if literal else tuple(parts))
            parts, literal = [], ""
            at += 1
            if char == "]":
                return readings, at
            continue
        literal += char
        at += 1
    if closing:
        raise ValueError(f"unclosed [ in {text!r}")
    return [(*parts, literal) if literal else tuple(parts)], at


@cache
def parse(text: str) -> Parsed:
    """The phrase as nested tuples. ValueError for an unclosed bracket."""
    return _parse(text, 0, False)[0][0]


def _draw(rng: random.Random, parsed: Parsed) -> str:
    return "".join(
        part if isinstance(part, str) else _draw(rng, part[int(rng.random() * len(part))]) for part in parsed
    )


def draw(rng: random.Random, text: str) -> str:
    """One reading of the phrase, every choice uniform; slots stay."""
    return _draw(rng, parse(text)) if "[" in text else text


def fill(text: str, values: dict[str, str]) -> str:
    """Replace `{slot}` by its value. KeyError for a slot without one."""
    return _SLOT.sub(lambda match: values[match.group(1)], text)


@cache
def entries(table: str, split: Split, noise: bool) -> tuple[str, ...]:
    """The entries of a table of `surroundings`; those with meaningless words, {any}, only where noise is wanted."""
    return tuple(entry for entry in TABLES[table][split] if noise or "{any}" not in entry)


@cache
def frames(intent: str, kind: str, split: Split, noise: bool) -> tuple[tuple[int, str], ...]:
    """The content frames of an intent with their numbers; those with meaningless words only where noise is wanted."""
    phrases = FRAMES[intent][split][kind]
    return tuple((index, phrase) for index, phrase in enumerate(phrases) if noise or "{any}" not in phrase)


def pick(rng: random.Random, table: str, split: Split, noise: bool = False) -> str:
    """One reading of one entry of a table of `surroundings`."""
    choices = entries(table, split, noise)
    return draw(rng, choices[int(rng.random() * len(choices))])
