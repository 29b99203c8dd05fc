"""The one thread that writes to the ledger: rows that arrive within a few milliseconds share one commit.

A waiter is resolved only when its rows are on the disk. When SQLite can't write (disk full, file locked, I/O error), replies
that are already paid for go to a rescue file (rescue.py), for which space is kept in reserve, and nothing more is accepted; a
single row that SQLite refuses goes there alone. Whatever ends this thread is raised in everyone who waits for it.
Not a queue between processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple

from distil.calls.faults import LedgerLost
from distil.calls.ledger.rescue import (
    UNSTORABLE,
    append,
    recover_rescued,
    rescue_path,
    storable,
    store_each,
    store_rows,
)
from distil.calls.ledger.rows import INTENTS, Row
from distil.calls.ledger.schema import explain
from distil.errors import WorkFailed
from distil.progress import say
from distil.runs.private import create_private

GROUP_S = 0.003
RESERVE_BYTES = 8 << 20
SAFE = (
    "Everything that was written before is safe in it. Requests that are on their way now may be paid for without being kept. "
    "Free some space beside it, or copy the project to another disk, and run the same command again."
)
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
        self._dead: LedgerLost | None = None
        self._retry = False
        self._reserve = path.with_name(f".{path.name}.reserve")
        self._reserve_bytes = reserve_bytes
        try:
            self._keep_reserve()
        except OSError as error:
            self._db.close()
            raise WorkFailed(
                f"Less than {reserve_bytes >> 20} MB are free beside {path} ({error.strerror}). Free some space and run again."
            ) from error
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

    def retry(self) -> None:
        """Before the next rows are written, looks whether what was broken works again."""
        self._retry = self.broken is not None

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
            if self._dead is not None:
                raise self._dead
            self._jobs.append(job)
        self._wake.set()

    def _run(self) -> None:
        jobs: list[_Job] = []
        try:
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
                    jobs = []
                elif self._closed:
                    return
        except (
            BaseException
        ) as error:  # nobody watches a thread: whoever waits must hear of it, and so must the next who asks
            with self._lock:
                self.broken = self._dead = LedgerLost(
                    f"The ledger {self._path} can't be written any more ({type(error).__name__}: {error}). {SAFE}"
                )
                jobs, self._jobs = [*jobs, *self._jobs], []
            _resolve_jobs(jobs, self._dead)

    def _commit(self, jobs: list[_Job]) -> None:
        rows = [row for job in jobs for row in job.rows]
        if self.broken is not None and self._retry:
            self._mend()
        if self.broken is None:
            try:
                self._store(rows)
                return _resolve_jobs(jobs, None)
            except sqlite3.DatabaseError as error:
                self.broken = _as_work_failed(error, self._path)
        # Broken: intents are refused, so that nothing more is sent; what was already paid for is kept.
        paid, refused = list[_Job](), list[_Job]()
        for job in jobs:
            (refused if any(isinstance(row, INTENTS) for row in job.rows) else paid).append(job)
        _resolve_jobs(refused, self.broken)
        try:
            self._rescue([row for job in paid for row in job.rows])
        except OSError as error:
            lost = f"Neither the ledger {self._path} nor its rescue file can be written ({error.strerror}). {SAFE}"
            _resolve_jobs(paid, LedgerLost(lost))
        else:
            _resolve_jobs(paid, None)

    def _store(self, rows: list[Row]) -> None:
        """In one transaction; a call with a value that SQLite refuses goes to the rescue file. Raises DatabaseError."""
        try:
            return self._transaction(rows)
        except UNSTORABLE:
            refused = store_each(self._db, [storable(row) for row in rows])
        if any(isinstance(row, INTENTS) for row in refused):
            raise sqlite3.DatabaseError("an intent has a value that can't be stored")
        if refused:
            try:
                append(self._path, refused, create_private)
            except OSError as error:
                raise sqlite3.OperationalError(f"the rescue file can't be written: {error.strerror}") from error
            say(
                f"The ledger can't store {len({row.key for row in refused}):,} of the replies (a number or a text in them is out "
                f"of all bounds); kept in {rescue_path(self._path).name} beside it."
            )

    def _transaction(self, rows: list[Row]) -> None:
        store_rows(self._db, rows)

    def _rescue(self, rows: list[Row]) -> None:
        if not rows:
            return
        self._reserve.unlink(missing_ok=True)
        try:
            self._store(rows)
        except sqlite3.DatabaseError:
            # Also with the reserve given back: keep the rows beside the ledger; `recover_rescued` takes them in later.
            append(self._path, rows, create_private)

    def _keep_reserve(self) -> None:
        """Raises OSError when there is less space than that."""
        try:
            with self._reserve.open("wb") as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, self._reserve_bytes)
                else:
                    file.write(b"\0" * self._reserve_bytes)
        except OSError:
            self._reserve.unlink(missing_ok=True)
            raise

    def _mend(self) -> None:
        """Writes again if there is space for it: first what was kept beside the ledger meanwhile."""
        self._retry = False
        try:
            self._keep_reserve()
            recover_rescued(self._db, self._path)
        except (OSError, sqlite3.DatabaseError):
            return
        self.broken = None
        say(f"The ledger {self._path.name} can be written again.")


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
