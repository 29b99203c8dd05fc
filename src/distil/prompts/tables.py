"""Reads Parquet files and folders saved by Hugging Face `datasets`. Needs the extra `distil[data]`; called through sources.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distil.errors import UserError
from distil.prompts.sources import Row

_FIXED_SPLITS = ("validation", "test")  # train rows stay free, so that curate can take the missing sides from them


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
        raise UserError(f"{path}: not a readable Parquet file ({_first_line(error)}). Write it again.") from None


def read_dataset_folder(path: Path) -> Iterator[Row]:
    """The rows of a folder written by `datasets.save_to_disk`.

    Of a dict of datasets, those called validation and test fix the split of their rows; class labels become their names.
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
        place = f"{path}, {name} row" if name else f"{path}, row"
        for number, fields in enumerate(part, start=1):
            row = _present(dict(fields))
            for key, kind in labels.items():
                if key in row:
                    row[key] = kind.int2str(row[key])
            if name in _FIXED_SPLITS:
                row.setdefault("split", name)
            yield Row(f"{place} {number}", row)


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _needs_extra(path: Path, package: str) -> str:
    return f"{path}: reading it needs the package {package}, which is not installed. Type: pip install 'distil[data]'"
