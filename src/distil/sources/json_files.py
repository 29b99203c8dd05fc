"""Rows of JSON files, whatever their suffix says: JSON Lines, one list, objects one after another, or one object with rows.

Lists are read piece by piece, so that a large file needs no more memory than its largest row.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from distil.errors import UserError
from distil.runs.jsonl import read_lines
from distil.runs.reading import open_text
from distil.sources.values import Row
from distil.text import Json, load_json

_BLOCK = 1 << 20  # characters read at once
_BLANK = " \t\r\n"
_HEAD = 1 << 16


def read_json_rows(path: Path) -> Iterator[Row]:
    """The rows of a JSON file. Raises UserError that names the line or the item."""
    with open_text(path) as file:
        head = file.read(_HEAD).lstrip(_BLANK)
    if head[:1] == "[":
        yield from _items(path)
    elif head[:1] == "{" and not _one_per_line(head):
        yield from _documents(path)
    else:
        for number, fields in read_lines(path):
            yield Row(f"{path}, line {number}", fields)


def _one_per_line(head: str) -> bool:
    """Whether the first line is a whole object, or should have been: an indented object goes on after `{` or a comma."""
    first, ended, _ = head.partition("\n")
    if not ended:
        return True
    try:
        json.loads(first)
    except RecursionError:
        return True
    except ValueError:
        return first.rstrip()[-1:] not in ("{", ",", "[")
    return True


def _items(path: Path) -> Iterator[Row]:
    """Of one list of objects; texts in it are prompts."""
    for number, value in enumerate(_values(path, inside=True), start=1):
        if isinstance(value, str):
            value = {"prompt": value}
        if not isinstance(value, dict):
            raise UserError(
                f"{path}, item {number}: found a JSON {type(value).__name__}, expected an object like {{...}}, or a text."
            )
        yield Row(f"{path}, item {number}", value)


def _documents(path: Path) -> Iterator[Row]:
    """Of objects that go over several lines, one after another."""
    for number, value in enumerate(_values(path, inside=False), start=1):
        if not isinstance(value, dict):
            raise UserError(f"{path}, object {number}: found a JSON {type(value).__name__}, expected an object.")
        yield Row(f"{path}, object {number}" if number > 1 else str(path), value)


class _Window:
    """A piece of a long text that moves on as values are read from it."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.text, self.at, self.ended = "", 0, False
        self.passed = 0  # line breaks before the window

    def more(self) -> bool:
        """Reads on; False at the end. Blocks grow with what is waiting, so that one huge value costs no quadratic time."""
        self.passed += self.text.count("\n", 0, self.at)
        rest = self.text[self.at :]
        block = self._file.read(max(_BLOCK, len(rest)))
        self.ended = not block
        self.text, self.at = rest + block, 0
        return bool(block)

    def skip(self) -> str:
        """The next sign that is not blank, not taken; empty at the end."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in _BLANK:
                self.at += 1
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                return ""

    @property
    def line(self) -> int:
        """From 1."""
        return self.passed + self.text.count("\n", 0, self.at) + 1


def _values(path: Path, *, inside: bool) -> Iterator[Json]:
    """The values of a list (inside), or of a text that holds one after another."""
    decoder = json.JSONDecoder()
    with open_text(path) as file:
        window = _Window(file)
        sign, number = window.skip(), 0
        if inside:
            window.at += 1
            sign = window.skip()
        while sign and sign != "]":
            number += 1
            yield _value(path, window, decoder, number, inside)
            sign = window.skip()
            if inside and sign == ",":
                window.at += 1
                sign = window.skip()
            elif inside and sign != "]":
                found = f"found {sign!r}" if sign else "the file ends"
                raise UserError(
                    f"{path}, line {window.line}: not valid JSON ({found} after item {number}, expected ',' or ']'). Fix that "
                    "line, or get the whole file again."
                )
        if inside and not sign:
            raise UserError(f"{path}: the list is not closed after item {number}. Get the whole file again.")
        if inside:
            window.at += 1
        if window.skip():
            raise UserError(
                f"{path}, line {window.line}: found more after the end of the list. Expected one list, or one object per line."
            )


def _value(path: Path, window: _Window, decoder: json.JSONDecoder, number: int, inside: bool) -> Json:
    what = f"item {number}" if inside else f"object {number}"
    while True:
        try:
            _, end = decoder.raw_decode(window.text, window.at)
            # A number at the end of the window may go on after it.
            if (end < len(window.text) or window.ended) or not window.more():
                value = load_json(window.text[window.at : end])
                window.at = end
                return value
        except RecursionError:
            raise UserError(f"{path}, {what}: nested too deeply to read. Delete it and run again.") from None
        except json.JSONDecodeError as error:
            if window.more():
                continue
            window.at = error.pos
            raise UserError(
                f"{path}, line {window.line}: not valid JSON ({error.msg}) in {what}. Fix that line and run again."
            ) from None
