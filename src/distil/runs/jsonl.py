"""JSON Lines: typed, atomic, loud about a bad line. The only reader and writer of record files.

A bad line is an error that names file, line and field; it is never skipped in silence. Not for the ledger (SQLite) or tensors.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

import distil
from distil.errors import UserError, WorkFailed
from distil.records import SCHEMA_VERSION, Example
from distil.runs.private import create_private
from distil.runs.reading import open_text
from distil.text import load_json, whole

R = TypeVar("R", bound=BaseModel)
_encoded = json.JSONEncoder(ensure_ascii=False).encode  # made once, not for each record


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields (line number from 1, object) for each non-blank line. Raises UserError on a missing file or a bad line."""
    if not path.exists():
        raise UserError(f"{path} is not there. Expected a JSON Lines file; check the path, or run `distil status`.")
    with open_text(path) as file:
        for number, text in enumerate(file, start=1):
            if text.strip():
                yield number, _parse(path, number, text)


def _parse(path: Path, number: int, text: str) -> dict[str, Any]:
    try:
        value = load_json(text)
    except RecursionError:
        raise UserError(f"{path}, line {number}: nested too deeply to read. Delete that line and run again.") from None
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}, line {number}: not valid JSON ({error.msg} at column {error.colno}). "
            "Expected one JSON object per line; fix or delete that line and run again."
        ) from None
    if not isinstance(value, dict):
        raise UserError(f"{path}, line {number}: found a JSON {type(value).__name__}, expected an object like {{...}}.")
    return value


def read_records(path: Path, record: type[R]) -> Iterator[R]:
    """Yields the file's records, validated. Raises UserError that names file, line and field."""
    for number, line in read_lines(path):
        version = line.pop("schema", SCHEMA_VERSION)
        if version != SCHEMA_VERSION:
            raise UserError(
                f"{path}, line {number}: schema version {version}, this tool reads {SCHEMA_VERSION}. Update distil."
            )
        try:
            yield record.model_validate(line)
        except ValidationError as error:
            raise UserError(f"{path}, line {number}: {describe(error)}") from None


def read_examples(path: Path) -> Iterator[Example]:
    """Yields the examples of a train, validation or test file. Raises UserError that names file, line and field."""
    for number, line in read_lines(path):
        try:
            yield Example.from_chat(line)
        except ValidationError as error:
            raise UserError(f"{path}, line {number}: {describe(error)}") from None


def describe(error: ValidationError) -> str:
    """`field 'a.b': message` for the first few faults of a validation error."""
    faults = []
    for fault in error.errors()[:3]:
        where = ".".join(str(part) for part in fault["loc"]) or "the object"
        faults.append(f"field {where!r}: {fault['msg'][:1].lower()}{fault['msg'][1:]}")
    return "; ".join(faults)


def record_line(record: BaseModel) -> str:
    """One line of a record file: the chat format for examples, the plain record otherwise, with its schema version."""
    if isinstance(record, Example):
        return _encoded(record.to_chat())
    return _encoded(record.model_dump(exclude_none=True) | {"schema": SCHEMA_VERSION})


def write_records(path: Path, records: Iterable[BaseModel], *, private: bool = False) -> int:
    """Writes all records to a file at once (atomic replace) and returns how many. private: only its owner may ever read it.

    Raises WorkFailed when the disk is full.
    """
    return write_lines(path, (record_line(record) for record in records), private=private)


def append_record(path: Path, record: BaseModel) -> None:
    """Adds one record at the end of a file, which is made when it is not there. Raises WorkFailed when it can't be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(whole(record_line(record)) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise WorkFailed(f"Could not write {path}: {error.strerror}. Free some space and run again.") from error


def write_lines(path: Path, lines: Iterable[str], *, private: bool = False) -> int:
    """Writes lines atomically: a temporary file beside the target, fsync, rename. Returns how many. private: as above."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    count = 0
    try:
        if private:
            create_private(temporary)
        with temporary.open("w", encoding="utf-8") as file:
            for line in lines:
                file.write(whole(line) + "\n")
                count += 1
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise WorkFailed(
            f"Could not write {path}: {error.strerror}. Free some space and run again; nothing is lost."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return count


def write_json(path: Path, value: object) -> None:
    """Writes one JSON document atomically, indented, keys in the given order."""
    write_lines(path, [json.dumps(value, ensure_ascii=False, indent=2)])


def read_json(path: Path) -> Any:
    """Reads one JSON document. Raises UserError that names the file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is not there. Run `distil status` to see which stage makes it.") from None
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}: not valid JSON ({error.msg}, line {error.lineno}). Delete it and run its stage again."
        ) from None


def refuse_newer(path: Path, value: object) -> None:
    """Raises UserError for a document whose `schema_version` is of a later Distil."""
    version = value.get("schema_version") if isinstance(value, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise UserError(
            f"{path} has schema version {version}, and Distil {distil.__version__} reads up to {SCHEMA_VERSION}: a newer one "
            "wrote it. Update Distil, and nothing has to be done again."
        )


def read_document(path: Path, record: type[R], *, command: str) -> R:
    """Reads a file that holds one record. Raises UserError that names file and field, and the command that writes it."""
    value = read_json(path)
    refuse_newer(path, value)
    try:
        return record.model_validate(value)
    except ValidationError as error:
        raise UserError(f"{path}: {describe(error)}. Run `{command}` again.") from None
