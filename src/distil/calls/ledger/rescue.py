"""The file beside the ledger for rows that the ledger can't take: all of them when the disk is full, single ones that it refuses.

What is paid for is never thrown away: `recover_rescued` takes in what it can when the ledger next opens, and leaves the rest.
"""

from __future__ import annotations

import base64
import json
import os
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from distil.calls.ledger.rows import GROUP, ORDER, AnsweredRow, AttemptRow, BodyRow, FailedRow, HedgedRow, Row, insert
from distil.runs.private import create_private

UNSTORABLE = (OverflowError, UnicodeError, TypeError, ValueError, sqlite3.DataError, sqlite3.ProgrammingError)
"""What SQLite raises because of a value: an integer beyond 64 bits, half a surrogate pair. Everything else concerns all rows."""
_KINDS: dict[str, type] = {kind.__name__: kind for kind in (AnsweredRow, BodyRow, AttemptRow, HedgedRow, FailedRow)}


def rescue_path(path: Path) -> Path:
    """Where replies go that the ledger could not take."""
    return path.with_name(f"{path.name}.rescue")


def storable(row: Row) -> Row:
    """The row with half surrogate pairs in its texts replaced: nobody could have read them."""
    values = [_clean(value) if isinstance(value, str) else value for value in row]
    return type(row)(*values)  # type: ignore[arg-type]


def _clean(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def store_rows(db: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """All rows in one transaction, in the order that their kinds need. Raises what SQLite raises, with nothing written."""
    by_kind: dict[type, list[Row]] = defaultdict(list)
    for row in rows:
        by_kind[type(row)].append(row)
    db.execute("BEGIN IMMEDIATE")
    try:
        for kind in ORDER:
            _store(db, kind, by_kind.get(kind, []))
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # a full disk has already rolled back by itself
            db.execute("ROLLBACK")
        raise


def store_each(db: sqlite3.Connection, rows: Sequence[Row]) -> list[Row]:
    """Stores the rows of each call on their own, and returns those that can't be. Raises what concerns all rows."""
    by_key: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_key[row.key].append(row)
    refused: list[Row] = []
    for group in by_key.values():
        try:
            store_rows(db, group)
        except UNSTORABLE:
            refused += group
    return refused


def append(path: Path, rows: Sequence[Row], create: Callable[[Path], None] = lambda path: None) -> None:
    """Adds rows to the rescue file of the ledger at `path`, durably. create: makes the file first. Raises OSError."""
    create(rescue_path(path))
    with rescue_path(path).open("a", encoding="utf-8") as file:
        for row in rows:
            file.write(_pack(row) + "\n")
        file.flush()
        os.fsync(file.fileno())


def recover_rescued(db: sqlite3.Connection, path: Path) -> int:
    """Takes the rows of a rescue file into the ledger. Returns how many. What can't be stored stays in the file. Repeatable."""
    file = rescue_path(path)
    if not file.exists():
        return 0
    rows = list[Row]()
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        row = _unpack(line)
        if row is not None:
            rows.append(storable(row))
    try:
        store_rows(db, rows)
        refused = list[Row]()
    except UNSTORABLE:
        refused = store_each(db, rows)
    if not refused:
        file.unlink()
    elif len(refused) < len(rows):
        part = file.with_name(f"{file.name}.part")
        create_private(part)
        part.write_text("".join(_pack(row) + "\n" for row in refused), encoding="utf-8")
        part.replace(file)
    return len(rows) - len(refused)


def _pack(row: Row) -> str:
    values = [{"b64": base64.b64encode(v).decode()} if isinstance(v, bytes) else v for v in row]
    return json.dumps([type(row).__name__, values])


def _unpack(line: str) -> Row | None:
    """None for what isn't a row, such as the last line of a process that was killed while it wrote."""
    try:
        name, values = json.loads(line)
        kind = _KINDS[name]
        row: Row = kind(*(base64.b64decode(v["b64"]) if isinstance(v, dict) else v for v in values))
    except (ValueError, TypeError, KeyError):
        return None
    return row


def _store(db: sqlite3.Connection, kind: type, rows: Sequence[Any]) -> None:
    for start in range(0, len(rows), GROUP):
        group = rows[start : start + GROUP]
        if kind is FailedRow:
            db.executemany(
                "UPDATE call SET status = 'failed', open = 0, error = ? WHERE key = ? AND status != 'answered'",
                [(row.error, row.key) for row in group],
            )
            continue
        if kind is HedgedRow:
            # Also where the user's word or an invoice has settled it meanwhile: now it is known.
            db.executemany(
                "UPDATE attempt SET seconds = ?, maybe_usd = ?, settled_usd = ?, reply = ? "
                "WHERE key = ? AND kind = 'hedge' AND at = ?",
                [(row.seconds, row.usd, row.usd, row.reply, row.key, row.at) for row in group],
            )
            continue
        db.execute(insert(kind, len(group)), [value for row in group for value in row])
        if kind is AttemptRow:
            marks = ", ".join("?" * len(group))
            db.execute(f"UPDATE call SET open = 0 WHERE key IN ({marks})", [row.key for row in group])
