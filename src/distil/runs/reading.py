"""Opens a text file that a person or another program wrote, in the encoding and compression that it is in.

UTF-8 with or without a byte order mark, UTF-16 and UTF-32 (what Excel and PowerShell write); plain or in gzip, bzip2, xz or
zstandard. Other encodings can't be told apart, and are refused with the line and what to type.
"""

from __future__ import annotations

import bz2
import codecs
import contextlib
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TextIO, cast

from distil.errors import UserError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MAGIC = ((b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"), (b"\xfd7zXZ\x00", "xz"), (b"\x28\xb5\x2f\xfd", "zstandard"))
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
"""Suffixes behind which the kind of file stands: `.jsonl.gz`. The bytes themselves decide how a file is unpacked."""
_BROKEN = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError)


def kind_of(path: Path) -> str:
    """The suffix that says what a file holds, in lower case: `.jsonl` of `rows.JSONL.gz`; empty where there is none."""
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    if suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
        return suffixes[-1] if suffixes else ""
    return path.suffix.lower()


def compression_of(path: Path) -> str | None:
    """gzip, bzip2, xz or zstandard by the first bytes; None for a plain file."""
    with path.open("rb") as file:
        head = file.read(6)
    return next((name for magic, name in _MAGIC if head.startswith(magic)), None)


@contextlib.contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """The file unpacked. Raises UserError, also while it is read, where it is damaged or zstandard can't be read here."""
    kind = compression_of(path)
    try:
        with _unpacked(path, kind) as file:
            yield file
    except _BROKEN as error:
        raise UserError(_damaged(path, kind or "", error)) from None
    except OSError as error:
        if kind is None or error.errno is not None:
            raise
        raise UserError(_damaged(path, kind, error)) from None


def _unpacked(path: Path, kind: str | None) -> IO[bytes]:
    if kind == "gzip":
        return cast(IO[bytes], gzip.open(path, "rb"))
    if kind == "bzip2":
        return cast(IO[bytes], bz2.open(path, "rb"))
    if kind == "xz":
        return cast(IO[bytes], lzma.open(path, "rb"))
    if kind == "zstandard":
        try:
            import pyarrow
        except ImportError:
            raise UserError(
                f"{path}: zstandard is unpacked by pyarrow, which is not installed. Run: pip install 'distil[data]', or "
                f"unpack it: zstd -d {path.name}"
            ) from None
        return cast(IO[bytes], io.BufferedReader(pyarrow.input_stream(str(path), compression="zstd")))
    return path.open("rb")


def _damaged(path: Path, kind: str, error: Exception) -> str:
    reason = str(error) or type(error).__name__
    return f"{path}: its {kind} data is damaged or cut off ({reason}). Copy the file again, or unpack what is left of it by hand."


def encoding_of(path: Path) -> str:
    """By the byte order mark; UTF-16 without one shows by the zero byte in each of its first letters."""
    with open_bytes(path) as file:
        return _encoding(file.read(64))


def _encoding(head: bytes) -> str:
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
    encoding = encoding_of(path)
    with open_bytes(path) as raw, io.TextIOWrapper(raw, encoding=encoding, newline=newline) as file:
        try:
            yield file
        except UnicodeDecodeError as error:
            raise UserError(_undecodable(path, encoding, error)) from None


def _undecodable(path: Path, encoding: str, error: UnicodeDecodeError) -> str:
    """The first line that can't be read: the decoder's own position counts from the start of a block."""
    unit = {"utf-16": 2, "utf-32": 4}.get(encoding[:6], 1)
    if unit > 1:
        return (
            f"{path} begins as {encoding[:6].upper()} text and then holds what is none ({error.reason}). Save it again as "
            f"UTF-8, or: iconv -c -f {encoding[:6].upper()} -t UTF-8 {path.name} > utf8-{path.name}"
        )
    number = 0
    with open_bytes(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as found:
                byte = line[found.start]
                return (
                    f"{path}, line {number} is not UTF-8 text (byte 0x{byte:02x} at {found.start}: {found.reason}). If Excel or "
                    "another Windows program wrote it, convert it: "
                    f"iconv -f WINDOWS-1252 -t UTF-8 {path.name} > utf8-{path.name}"
                )
    return f"{path} is not UTF-8 text ({error.reason}). Save it again as UTF-8."
