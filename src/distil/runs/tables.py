"""Reads a table with a header line (CSV, or TSV by its suffix) row by row. What the columns mean is the caller's business."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from distil.errors import UserError

_FIELD_LIMIT = 1 << 24  # bytes of one cell; the standard library's 128 KiB is too little for long documents


def read_table(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, column -> value) for each row; empty cells count as absent. Raises UserError on a broken file."""
    csv.field_size_limit(_FIELD_LIMIT)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
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
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path} is not UTF-8 text ({error.reason} at byte {error.start}). Convert it to UTF-8."
            ) from None
