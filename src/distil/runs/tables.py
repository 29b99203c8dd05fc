"""Reads a table with a header line (CSV with any usual separator, or TSV) row by row. The columns are the caller's business."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from distil.errors import UserError
from distil.runs.reading import open_text

_FIELD_LIMIT = 1 << 24  # bytes of one cell; the standard library's 128 KiB is too little for long documents


def read_table(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, column -> value) for each row; empty cells count as absent. Raises UserError on a broken file."""
    csv.field_size_limit(_FIELD_LIMIT)
    with open_text(path, newline="") as file:
        reader = csv.DictReader(file, delimiter=_separator(path, file), strict=True)
        try:
            for fields in reader:
                if None in fields:
                    raise UserError(
                        f"{path}, line {reader.line_num}: found more cells than the header's {len(reader.fieldnames or [])} "
                        "columns. Put cells that contain a separator in double quotes."
                    )
                yield reader.line_num, {name.strip(): value for name, value in fields.items() if value}
        except csv.Error as error:
            raise UserError(f"{path}, line {reader.line_num}: not valid CSV ({error}). Fix that line.") from None


def _separator(path: Path, file: TextIO) -> str:
    """Of a table: tabs in .tsv; else what the header has most of outside quotes. Excel writes `;` where the comma is decimal."""
    header = re.sub(r'"[^"]*"', "", file.readline())
    file.seek(0)
    if path.suffix.lower() == ".tsv":
        return "\t"
    return max(",;\t|", key=header.count)
