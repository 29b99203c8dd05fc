"""The one thread that writes to the ledger: rows that arrive within a few milliseconds share one commit.

A waiter is resolved only when its rows are on the disk. When SQLite can't write (disk full, file locked, I/O error), replies
that are already paid for go to a rescue file, for which space is kept in reserve, and nothing more is accepted.
Not a queue between processes.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple

from distil.calls.ledger.rows import GROUP, ORDER, AnsweredRow, AttemptRow, BodyRow, FailedRow, IntentRow, Row, insert
from distil.calls.ledger.schema import explain
from distil.errors import WorkFailed
from distil.runs.private import create_private

GROUP_S = 0.003
RESERVE_BYTES = 8 << 20
Waiter = Future[None] | asyncio.Future[None] | None


class _Job(NamedTuple):
    rows: Sequence[Row]
    waiter: Waiter
    loop: asyncio.AbstractEventLoop | None


class Writer:
    """Owns the writing connection. `write` for asyncio, `put` for everyone else."""

    def __init__(self, db: sqlite3.Connection, path: Path, reserve_bytes: int = RESERVE_BYTES) -> None:
        self._db = db
        self._path = path
        self._jobs: list[_Job] = []
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._closed = False
        self.broken: WorkFailed | None = None
        self._reserve = path.with_name(f".{path.name}.reserve")
        self._keep_reserve(reserve_bytes)
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    def write(self, rows: Sequence[Row]) -> asyncio.Future[None]:
        """Awaitable: done when the rows are durable. Raises WorkFailed when they can't be written."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._add(_Job(rows, waiter, loop))
        return waiter

    def put(self, rows: Sequence[Row]) -> Future[None]:
        """The same for code outside an event loop, and for rows without a waiter."""
        waiter: Future[None] = Future()
        self._add(_Job(rows, waiter, None))
        return waiter

    def close(self) -> sqlite3.Connection:
        """Writes what is left, ends the thread and hands the connection back."""
        self._closed = True
        self._wake.set()
        self._thread.join()
        self._reserve.unlink(missing_ok=True)
        return self._db

    def _add(self, job: _Job) -> None:
        if self._closed:
            raise WorkFailed(f"The ledger {self._path} is closed.")
        with self._lock:
            self._jobs.append(job)
        self._wake.set()

    def _run(self) -> None:
        while True:
            if not self._closed:
                self._wake.wait()
            if not self._closed:
                time.sleep(GROUP_S)
            self._wake.clear()
            with self._lock:
                jobs, self._jobs = self._jobs, []
            if jobs:
                self._commit(jobs)
            elif self._closed:
                return

    def _commit(self, jobs: list[_Job]) -> None:
        if self.broken is None:
            try:
                self._transaction([row for job in jobs for row in job.rows])
                return _resolve_jobs(jobs, None)
            except sqlite3.DatabaseError as error:
                self.broken = _as_work_failed(error, self._path)
        # Broken: intents are refused, so that nothing more is sent; what was already paid for is kept.
        paid, refused = list[_Job](), list[_Job]()
        for job in jobs:
            (refused if any(isinstance(row, IntentRow) for row in job.rows) else paid).append(job)
        _resolve_jobs(refused, self.broken)
        try:
            self._rescue([row for job in paid for row in job.rows])
        except OSError as error:
            _resolve_jobs(
                paid, WorkFailed(f"Neither the ledger nor its rescue file can be written ({error.strerror}).")
            )
        else:
            _resolve_jobs(paid, None)

    def _transaction(self, rows: list[Row]) -> None:
        by_kind: dict[type, list[Row]] = defaultdict(list)
        for row in rows:
            by_kind[type(row)].append(row)
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            for kind in ORDER:
                _store(db, kind, by_kind.get(kind, []))
            db.execute("COMMIT")
        except BaseException:
            # A full disk has already rolled back by itself.
            with contextlib.suppress(sqlite3.OperationalError):
                db.execute("ROLLBACK")
            raise

    def _rescue(self, rows: list[Row]) -> None:
        if not rows:
            return
        self._reserve.unlink(missing_ok=True)
        try:
            self._transaction(rows)
            return
        except sqlite3.DatabaseError:
            # Also with the reserve given back: keep the rows beside the ledger; `recover` takes them in when it next opens.
            create_private(rescue_path(self._path))
            with rescue_path(self._path).open("a", encoding="utf-8") as file:
                for row in rows:
                    file.write(_pack(row) + "\n")
                file.flush()
                os.fsync(file.fileno())

    def _keep_reserve(self, size: int) -> None:
        try:
            with self._reserve.open("wb") as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size)
                else:
                    file.write(b"\0" * size)
        except OSError as error:
            self._reserve.unlink(missing_ok=True)
            self._db.close()
            raise WorkFailed(
                f"Less than {size >> 20} MB are free beside {self._path} ({error.strerror}). Free some space and run again."
            ) from error


def _store(db: sqlite3.Connection, kind: type, rows: list[Any]) -> None:
    for start in range(0, len(rows), GROUP):
        group = rows[start : start + GROUP]
        if kind is FailedRow:
            db.executemany(
                "UPDATE call SET status = 'failed', open = 0, error = ? WHERE key = ? AND status != 'answered'",
                [(row.error, row.key) for row in group],
            )
            continue
        db.execute(insert(kind, len(group)), [value for row in group for value in row])
        if kind is AttemptRow:
            marks = ", ".join("?" * len(group))
            db.execute(f"UPDATE call SET open = 0 WHERE key IN ({marks})", [row.key for row in group])


def _resolve_jobs(jobs: list[_Job], error: WorkFailed | None) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[Any]] = defaultdict(list)
    for job in jobs:
        if isinstance(job.waiter, Future):
            _resolve([job.waiter], error)
        elif job.waiter is not None and job.loop is not None:
            by_loop[job.loop].append(job.waiter)
    for loop, waiters in by_loop.items():
        # A closed loop has no waiters left.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, waiters, error)


def _resolve(waiters: list[Any], error: WorkFailed | None) -> None:
    for waiter in waiters:
        if waiter.done():
            continue
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)


def _as_work_failed(error: sqlite3.DatabaseError, path: Path) -> WorkFailed:
    explained = explain(error, path)
    return explained if isinstance(explained, WorkFailed) else WorkFailed(str(explained))


def rescue_path(path: Path) -> Path:
    """Where replies go that the ledger could not take."""
    return path.with_name(f"{path.name}.rescue")


_KINDS: dict[str, type] = {kind.__name__: kind for kind in (AnsweredRow, BodyRow, AttemptRow, FailedRow)}


def _pack(row: Row) -> str:
    values = [{"b64": base64.b64encode(v).decode()} if isinstance(v, bytes) else v for v in row]
    return json.dumps([type(row).__name__, values])


def recover_rescued(db: sqlite3.Connection, path: Path) -> int:
    """Takes the rows of a rescue file into the ledger and deletes the file. Returns how many rows. Safe to repeat."""
    file = rescue_path(path)
    if not file.exists():
        return 0
    by_kind: dict[type, list[Any]] = defaultdict(list)
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            name, values = json.loads(line)
        except ValueError:
            continue  # the last line of a process that was killed while it wrote
        kind = _KINDS[name]
        by_kind[kind].append(kind(*(base64.b64decode(v["b64"]) if isinstance(v, dict) else v for v in values)))
    db.execute("BEGIN IMMEDIATE")
    for kind in ORDER:
        _store(db, kind, by_kind.get(kind, []))
    db.execute("COMMIT")
    file.unlink()
    return sum(map(len, by_kind.values()))
