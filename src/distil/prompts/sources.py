"""Reads rows from the user's file or folder: one function per format, chosen by suffix from READERS.

A source yields `Row`s: a place for error messages and a plain dict of fields. rows.py decides what the fields
mean, and what is wrong with them. Nothing is downloaded. Parquet files and dataset folders need the extra `distil[data]`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from distil.errors import UserError
from distil.runs.jsonl import read_lines
from distil.runs.reading import open_text
from distil.runs.tables import read_table

_FIXED_SPLITS = ("validation", "test")  # train rows stay free, so that curate can take the missing splits from them


class Row(NamedTuple):
    """One row of a source."""

    where: str
    """`file, line 3`: the start of every message about this row."""
    fields: dict[str, Any]
    """Column or key -> value."""


def open_source(path: Path) -> Iterator[Row]:
    """The rows of a file or folder. Raises UserError when it is missing, of an unknown kind, or broken."""
    if not path.exists():
        raise UserError(_missing(path))
    kind = "folder" if path.is_dir() else path.suffix.lower()
    if kind not in READERS:
        suffixes = ", ".join(name for name in READERS if name.startswith("."))
        raise UserError(
            f"{path}: found {f'a {kind} file' if kind else 'a file without a suffix'}, expected one of {suffixes} or a folder "
            "saved by `datasets`. Rename or convert it, and set prompts.path."
        )
    return READERS[kind](path)


def read_jsonl(path: Path) -> Iterator[Row]:
    """One JSON object per line."""
    for number, fields in read_lines(path):
        yield Row(f"{path}, line {number}", fields)


def read_csv(path: Path) -> Iterator[Row]:
    """A header line, then one row per prompt, separated by `,` `;` `|` or tabs. Empty cells count as absent."""
    for number, fields in read_table(path):
        yield Row(f"{path}, line {number}", dict(fields))


def read_txt(path: Path) -> Iterator[Row]:
    """One prompt per line; blank lines are skipped."""
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield Row(f"{path}, line {number}", {"prompt": line.strip()})


def read_parquet(path: Path) -> Iterator[Row]:
    """The rows of a Parquet file, read batch by batch. Raises UserError without pyarrow or on a broken file."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UserError(_needs_extra(path, "pyarrow")) from None
    try:
        with parquet.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches():
                for fields in batch.to_pylist():
                    number += 1
                    yield Row(f"{path}, row {number}", _present(fields))
    except (pyarrow.ArrowInvalid, pyarrow.ArrowException) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path}: not a readable Parquet file ({reason}). Write it again.") from None


def read_dataset_folder(path: Path) -> Iterator[Row]:
    """The rows of a folder written by `datasets.save_to_disk`.

    In a dict of datasets, those called validation and test fix the split of their rows; class labels become their names.
    Raises UserError without `datasets`, or when the folder is something else.
    """
    if not any((path / name).exists() for name in ("dataset_dict.json", "state.json")):
        raise UserError(
            f"{path}: found a folder that `datasets` did not write (no dataset_dict.json or state.json). "
            "Set prompts.path to a file in it, or save the dataset with save_to_disk."
        )
    try:
        import datasets
    except ImportError:
        raise UserError(_needs_extra(path, "datasets")) from None
    loaded = datasets.load_from_disk(str(path))
    parts = loaded.items() if isinstance(loaded, datasets.DatasetDict) else [(None, loaded)]
    for name, part in parts:
        labels = {key: kind for key, kind in part.features.items() if isinstance(kind, datasets.ClassLabel)}
        where = f"{path}, {name} row" if name else f"{path}, row"
        for number, fields in enumerate(part, start=1):
            row = _present(dict(fields))
            for key, kind in labels.items():
                if key in row:
                    row[key] = kind.int2str(row[key])
            if name in _FIXED_SPLITS:
                row.setdefault("split", name)
            yield Row(f"{where} {number}", row)


READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".txt": read_txt,
    ".parquet": read_parquet,
    "folder": read_dataset_folder,
}


def _missing(path: Path) -> str:
    """The message for a path that does not exist, with the closest file name of its folder."""
    if not path.parent.is_dir():
        return f"{path} does not exist, and neither does the folder {path.parent}. Set prompts.path in distil.yaml."
    names = sorted(item.name for item in path.parent.iterdir() if not item.name.startswith("."))
    close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else f" The folder contains: {', '.join(names[:8]) or 'nothing'}."
    return f"{path} does not exist; expected the file with your prompts.{hint} Set prompts.path in distil.yaml."


def _present(fields: Mapping[str, object]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


def _needs_extra(path: Path, package: str) -> str:
    return f"{path}: reading it needs the package {package}, which is not installed. Run: pip install 'distil[data]'"
