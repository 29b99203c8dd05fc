"""Reads a table with a header line (CSV with any usual separator, or TSV) row by row. The columns are the caller's business."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from distil.errors import UserError
from distil.runs.reading import kind_of, open_text

_FIELD_LIMIT = 1 << 24  # bytes of one cell; the standard library's 128 KiB is too little for long documents
_SAMPLE = 1 << 16  # characters by which a separator is recognized
_SAMPLE_ROWS = 30
SEPARATORS = ",;\t|"
_NAMED = re.compile(r'"?sep=(.)"?\s*')  # Excel's own first line


def read_table(path: Path, short: Counter[str] | None = None) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, column -> value) for each row; empty cells count as absent. Raises UserError on a broken file.

    short: counts, under `rows with too few cells`, rows that end before the header does. The second of two columns with one name
    is called `name (2)`.
    """
    csv.field_size_limit(_FIELD_LIMIT)
    with open_text(path, newline="") as file:
        separator, skip = _separator(path, file)
        for _ in range(skip):
            file.readline()
        reader = csv.reader(file, delimiter=separator, strict=True)
        try:
            header = _header(next(reader, []))
            for cells in reader:
                if not any(cells):
                    continue
                number = reader.line_num + skip
                if any(cells[len(header) :]):
                    raise UserError(
                        f"{path}, line {number}: found more cells than the header's {len(header)} "
                        "columns. Put cells that contain a separator in double quotes."
                    )
                if short is not None and len(cells) < len(header):
                    short["rows with too few cells"] += 1
                yield number, {name: cell for name, cell in zip(header, cells, strict=False) if cell and name}
        except csv.Error as error:
            raise UserError(
                f"{path}, line {reader.line_num + skip}: not valid CSV ({error}). Fix that line: a cell with a separator, a line "
                'break or a quote goes into double quotes, and a quote inside is doubled ("").'
            ) from None


def _header(cells: list[str]) -> list[str]:
    """The names without blanks around them; a repeated one gets a number, so that no column hides another."""
    names, seen = [], Counter[str]()
    for cell in cells:
        name = cell.strip().strip("\ufeff")
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return names


def _separator(path: Path, file: TextIO) -> tuple[str, int]:
    """(separator, lines to skip): tabs in .tsv, what Excel's `sep=;` says, else what cuts all rows into equally many cells.

    Excel writes `;` where the comma is decimal. The header decides between equals: text has commas, names of columns have none.
    """
    sample = file.read(_SAMPLE)
    file.seek(0)
    first = sample.partition("\n")[0]
    if (named := _NAMED.fullmatch(first.strip())) is not None:
        return named[1], 1
    if kind_of(path) in (".tsv", ".tab"):
        return "\t", 0
    plain = re.sub(r'"[^"]*"', "", first)
    present = [separator for separator in SEPARATORS if separator in plain]
    if len(present) <= 1:
        return (present[0] if present else ","), 0
    return max(present, key=lambda separator: (_consistency(sample, separator), plain.count(separator))), 0


def _consistency(sample: str, separator: str) -> float:
    """Share of the sample's rows with exactly as many cells as its header."""
    counts = list[int]()
    lines = sample.splitlines(keepends=True)
    complete = lines[:-1] if len(sample) >= _SAMPLE else lines
    try:
        for cells in csv.reader(complete, delimiter=separator):
            counts.append(len(cells))
            if len(counts) > _SAMPLE_ROWS:
                break
    except csv.Error:
        return 0.0
    rows = counts[1:]
    return sum(count == counts[0] for count in rows) / len(rows) if rows else 0.0
