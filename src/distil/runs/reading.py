"""Opens a text file that a person or another program wrote, in the encoding that it is in.

UTF-8 with or without a byte order mark, and UTF-16 (what Excel and PowerShell write). Others can't be told apart, and are
refused with what to type.
"""

from __future__ import annotations

import codecs
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from distil.errors import UserError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def encoding_of(path: Path) -> str:
    """By the byte order mark; UTF-16 without one shows by the zero byte in each of its first letters."""
    with path.open("rb") as file:
        head = file.read(64)
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    if len(head) >= 4 and head[1:4:2] == b"\0\0" and head[0] and head[2]:
        return "utf-16-le"
    if len(head) >= 4 and head[0:4:2] == b"\0\0" and head[1] and head[3]:
        return "utf-16-be"
    return "utf-8"


@contextlib.contextmanager
def open_text(path: Path, newline: str | None = None) -> Iterator[TextIO]:
    """The file as text. Raises UserError, also while it is read, where its bytes are in no encoding that can be recognized."""
    with path.open(encoding=encoding_of(path), newline=newline) as file:
        try:
            yield file
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path} is not UTF-8 text ({error.reason} at byte {error.start}). Convert it to UTF-8: "
                f"iconv -f WINDOWS-1252 -t UTF-8 {path.name} > utf8-{path.name}"
            ) from None
