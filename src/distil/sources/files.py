"""Opens what holds rows: one function per kind of file, chosen by the suffix behind any compression, else by its first sign.

A source yields `Row`s: a place for error messages and a plain dict of fields. rows.py decides what the fields mean. Nothing is
downloaded. Parquet files and dataset folders need the extra `distil[data]`.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from distil.errors import UserError
from distil.runs.reading import kind_of, open_text
from distil.runs.tables import read_table
from distil.sources.json_files import read_json_rows
from distil.sources.nested import unfold
from distil.sources.values import Row, mapping, present
from distil.text import parse_json

FIXED_SPLITS = ("validation", "test")  # train rows stay free, so that curate can take the missing splits from them
_BATCH = 1_000  # rows of a Parquet file that are in memory at once
Notes = Counter[str]
"""What is said about a source as a whole -> how often."""


def open_source(path: Path, notes: Notes | None = None, setting: str = "prompts.path") -> Iterator[Row]:
    """The rows of a file or folder. Raises UserError when it is missing, of an unknown kind, or broken.

    notes: counts what is odd about rows. setting: what a message says to set.
    """
    if not path.exists():
        raise UserError(_missing(path, setting))
    kind = "folder" if path.is_dir() else kind_of(path)
    reader = READERS.get(kind) or _by_content(path)
    if reader is None:
        suffixes = ", ".join(name for name in READERS if name.startswith("."))
        advice = ADVICE.get(kind, "Rename or convert it")
        raise UserError(
            f"{path}: found {f'a {kind} file' if kind else 'a file without a suffix'}, expected one of {suffixes} (also with "
            f".gz, .bz2, .xz or .zst) or a folder saved by `datasets`. {advice}, and set {setting}."
        )
    return unfold(reader(path, Notes() if notes is None else notes))


def _by_content(path: Path) -> Callable[[Path, Notes], Iterator[Row]] | None:
    """JSON shows by its first sign; nothing else does."""
    if kind_of(path) in ADVICE:
        return None
    try:
        with open_text(path) as file:
            first = file.read(1_024).lstrip()[:1]
    except UserError:
        return None
    return read_json if first in ("{", "[") else None


def read_json(path: Path, notes: Notes) -> Iterator[Row]:
    """JSON Lines, a list, or objects."""
    return read_json_rows(path)


def read_csv(path: Path, notes: Notes) -> Iterator[Row]:
    """A header line, then one row per prompt, separated by `,` `;` `|` or tabs. Empty cells count as absent."""
    for number, fields in read_table(path, notes):
        yield Row(f"{path}, line {number}", dict(fields))


def read_txt(path: Path, notes: Notes) -> Iterator[Row]:
    """One prompt per line; blank lines are skipped."""
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield Row(f"{path}, line {number}", {"prompt": line.strip()})


def read_parquet(path: Path, notes: Notes) -> Iterator[Row]:
    """The rows of a Parquet file, read batch by batch. Raises UserError without pyarrow or on a broken file."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UserError(_needs_extra(path, "pyarrow")) from None
    try:
        with parquet.ParquetFile(path) as file:
            number, labels = 0, _label_names(file.schema_arrow.metadata)
            for batch in file.iter_batches(batch_size=_BATCH):
                for fields in batch.to_pylist():
                    number += 1
                    row = present(fields)
                    for key, names in labels.items():
                        if isinstance(row.get(key), int) and 0 <= row[key] < len(names):
                            row[key] = names[row[key]]
                    yield Row(f"{path}, row {number}", row)
    except (pyarrow.ArrowException, UnicodeDecodeError, OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path}: not a readable Parquet file ({reason}). Write it again.") from None


def _label_names(metadata: Mapping[bytes, bytes] | None) -> dict[str, list[str]]:
    """Column -> names of its classes, which `datasets` writes beside the numbers."""
    info = mapping(parse_json((metadata or {}).get(b"huggingface", b"").decode("utf-8", "replace")))
    features = mapping(mapping(info.get("info")).get("features"))
    labels = {
        key: mapping(kind).get("names") for key, kind in features.items() if mapping(kind).get("_type") == "ClassLabel"
    }
    return {key: [str(name) for name in names] for key, names in labels.items() if isinstance(names, list)}


def read_dataset_folder(path: Path, notes: Notes) -> Iterator[Row]:
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
            row = present(dict(fields))
            for key, kind in labels.items():
                if key in row:
                    row[key] = kind.int2str(row[key])
            if name in FIXED_SPLITS:
                row.setdefault("split", name)
            yield Row(f"{where} {number}", row)


READERS: dict[str, Callable[[Path, Notes], Iterator[Row]]] = {
    ".jsonl": read_json,
    ".ndjson": read_json,
    ".json": read_json,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".txt": read_txt,
    ".parquet": read_parquet,
    "folder": read_dataset_folder,
}
ADVICE = {
    ".xlsx": "In Excel, save it as `CSV UTF-8`",
    ".xls": "In Excel, save it as `CSV UTF-8`",
    ".ods": "In the office program, save it as CSV in UTF-8",
    ".docx": "Save it as plain text in UTF-8 with one prompt per line (.txt)",
    ".pdf": "Copy its prompts into a text file with one prompt per line (.txt)",
    ".zip": "Unpack it first",
    ".tar": "Unpack it first",
    ".arrow": "Save the dataset with save_to_disk and name its folder",
    ".pkl": "Write it as JSON Lines (df.to_json(FILE, orient='records', lines=True))",
    ".yaml": "Write it as JSON Lines, one object per line",
    ".yml": "Write it as JSON Lines, one object per line",
    ".xml": "Write it as JSON Lines, one object per line",
}
"""What to do with common files that are not read."""


def _missing(path: Path, setting: str) -> str:
    """The message for a path that does not exist, with the closest file name of its folder."""
    if not path.parent.is_dir():
        return f"{path} does not exist, and neither does the folder {path.parent}. Set {setting}."
    names = sorted(item.name for item in path.parent.iterdir() if not item.name.startswith("."))
    close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.5)
    what = "the file with your prompts" if "prompts" in setting else "a log"
    hint = f" Did you mean {close[0]!r}?" if close else f" The folder contains: {', '.join(names[:8]) or 'nothing'}."
    return f"{path} does not exist; expected {what}.{hint} Set {setting}."


def _needs_extra(path: Path, package: str) -> str:
    return f"{path}: reading it needs the package {package}, which is not installed. Run: pip install 'distil[data]'"
