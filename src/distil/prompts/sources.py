"""Reads rows from whatever file the user has: one function per format, chosen by suffix from an explicit dict.

A source yields `Row`s: a place for error messages and a plain dict of fields. What the fields mean, and what is wrong with
them, is rows.py's business. Not a download: everything is on this disk. Called by stage.py.
"""

from __future__ import annotations

import csv
import difflib
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from distil.errors import UserError
from distil.runs.jsonl import read_lines

SOURCES: dict[str, str] = {
    ".jsonl": "distil.prompts.sources:read_jsonl",
    ".ndjson": "distil.prompts.sources:read_jsonl",
    ".csv": "distil.prompts.sources:read_csv",
    ".tsv": "distil.prompts.sources:read_csv",
    ".txt": "distil.prompts.sources:read_txt",
    ".parquet": "distil.prompts.tables:read_parquet",
    "folder": "distil.prompts.tables:read_dataset_folder",
}
_CSV_FIELD_LIMIT = 1 << 24  # bytes of one cell; the standard library's 128 KiB is too little for long documents


class Row(NamedTuple):
    """One row of a source."""

    where: str
    """`file, line 3`: the start of every message about this row."""
    fields: dict[str, Any]
    """Column or key -> value."""


def open_source(path: Path) -> Iterator[Row]:
    """The rows of a file or folder. Raises UserError when it is missing, of an unknown kind, or broken."""
    if not path.exists():
        raise UserError(missing(path))
    kind = "folder" if path.is_dir() else path.suffix.lower()
    if kind not in SOURCES:
        known = ", ".join(name for name in SOURCES if name.startswith("."))
        raise UserError(
            f"{path}: found a {kind or 'suffix-less'} file, expected one of {known} or a folder saved by `datasets`. "
            "Rename or convert it, and set prompts.path."
        )
    module, function = SOURCES[kind].split(":")
    reader: Callable[[Path], Iterator[Row]] = getattr(importlib.import_module(module), function)
    return reader(path)


def missing(path: Path) -> str:
    """The message for a path that is not there, with the closest file name of its folder."""
    if not path.parent.is_dir():
        return f"{path} is not there, and neither is the folder {path.parent}. Set prompts.path in distil.yaml."
    names = sorted(item.name for item in path.parent.iterdir() if not item.name.startswith("."))
    close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else f" The folder holds: {', '.join(names[:8]) or 'nothing'}."
    return f"{path} is not there; expected the file with your prompts.{hint} Set prompts.path in distil.yaml."


def read_jsonl(path: Path) -> Iterator[Row]:
    """One JSON object a line."""
    for number, fields in read_lines(path):
        yield Row(f"{path}, line {number}", fields)


def read_csv(path: Path) -> Iterator[Row]:
    """A header line, then one row per prompt; `.tsv` is separated by tabs. Empty cells count as absent."""
    csv.field_size_limit(_CSV_FIELD_LIMIT)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
        try:
            for fields in reader:
                where = f"{path}, line {reader.line_num}"
                if None in fields:
                    raise UserError(
                        f"{where}: found more cells than the header's {len(reader.fieldnames or [])} columns. "
                        "Put cells that hold a separator into double quotes."
                    )
                yield Row(where, {name.strip(): value for name, value in fields.items() if value})
        except csv.Error as error:
            raise UserError(f"{path}, line {reader.line_num}: not valid CSV ({error}). Mend that line.") from None
        except UnicodeDecodeError as error:
            raise UserError(_not_utf8(path, error)) from None


def read_txt(path: Path) -> Iterator[Row]:
    """One prompt a line; blank lines are passed over."""
    with path.open(encoding="utf-8-sig") as file:
        try:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield Row(f"{path}, line {number}", {"prompt": line.strip()})
        except UnicodeDecodeError as error:
            raise UserError(_not_utf8(path, error)) from None


def _not_utf8(path: Path, error: UnicodeDecodeError) -> str:
    return f"{path} is not UTF-8 text ({error.reason} at byte {error.start}). Convert it to UTF-8."
