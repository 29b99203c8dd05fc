"""Lines to a file: JSONL (with a byte order mark where the provider demands one) or Parquet; whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from distil.errors import UserError, WorkFailed
from distil.formats.rows import Line

if TYPE_CHECKING:
    import pyarrow

    from distil.formats.format import Format

BOM = b"\xef\xbb\xbf"
_SEPARATORS = {"\u2028": "\\u2028", "\u2029": "\\u2029", "\x85": "\\u0085"}
"""Line ends in Unicode that some readers of JSONL split at; inside JSON they may be written as escapes."""


def encode(line: Line) -> bytes:
    """A line of JSONL with its line end. Raises UnicodeEncodeError on half a surrogate pair."""
    text = json.dumps(line, ensure_ascii=False)
    for sign, escaped in _SEPARATORS.items():
        text = text.replace(sign, escaped)
    return text.encode() + b"\n"


def write_file(form: Format, path: Path, lines: Sequence[Line]) -> int:
    """Writes all lines at once (atomic replace) and returns the bytes. Raises WorkFailed when the disk is full."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if form.container == "parquet":
            _write_parquet(temporary, lines)
        else:
            with temporary.open("wb") as file:
                file.write(BOM if form.bom else b"")
                file.writelines(encode(line) for line in lines)
                file.flush()
                os.fsync(file.fileno())
        size = temporary.stat().st_size
        os.replace(temporary, path)
    except OSError as error:
        raise WorkFailed(f"Could not write {path}: {error.strerror}. Free some space and run again.") from error
    finally:
        temporary.unlink(missing_ok=True)
    return size


def _write_parquet(path: Path, lines: Sequence[Line]) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError:
        raise UserError("Parquet needs pyarrow. Install it: pip install 'distil[data]'") from None
    names = dict.fromkeys(name for line in lines for name in line)
    columns = [(name, _message_type(pa) if name == "messages" else pa.string()) for name in names]
    pq.write_table(pa.Table.from_pylist([dict(line) for line in lines], schema=pa.schema(columns)), path)


def _message_type(pa: ModuleType) -> pyarrow.DataType:
    """Turns with every field that one can have; arguments of tool calls are JSON text, so that all rows share one type."""
    text = pa.string()
    call = pa.struct({"id": text, "type": text, "function": pa.struct({"name": text, "arguments": text})})
    fields = dict.fromkeys(("role", "content", "name", "tool_call_id", "reasoning_content"), text)
    return pa.list_(pa.struct({**fields, "tool_calls": pa.list_(call), "weight": pa.int8()}))
