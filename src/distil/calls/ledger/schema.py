"""The tables of ledger.sqlite, as a list of migrations, and how a connection is opened. Only SQL; no policy.

To change the schema, append a script to MIGRATIONS; a file is brought up to date when it is next opened.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from distil.calls.ledger.rows import STATEMENTS
from distil.errors import UserError, WorkFailed
from distil.runs.private import create_private

BASE = """
CREATE TABLE run (
  id TEXT PRIMARY KEY,          -- one per process that writes
  pid INTEGER NOT NULL,
  host TEXT NOT NULL,
  born TEXT NOT NULL,           -- when the process started, as the system says it: a pid alone is used again
  started TEXT NOT NULL
);
CREATE TABLE call (
  key TEXT PRIMARY KEY,         -- hash of endpoint, final wire body, sample
  purpose TEXT NOT NULL,
  model TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  tier TEXT NOT NULL,
  sample INTEGER NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('intended', 'answered', 'failed')),
  open INTEGER NOT NULL DEFAULT 0,      -- 1: sent or about to be, and nothing has come back yet
  attempts INTEGER NOT NULL DEFAULT 0,
  run TEXT,                             -- who sent it last
  reserve_usd REAL NOT NULL DEFAULT 0,  -- most that one attempt can cost
  input_tokens INTEGER NOT NULL DEFAULT 0,
  output_tokens INTEGER NOT NULL DEFAULT 0,
  cached_tokens INTEGER NOT NULL DEFAULT 0,
  reasoning_tokens INTEGER NOT NULL DEFAULT 0,
  usd REAL NOT NULL DEFAULT 0,
  price_input REAL,
  price_output REAL,
  price_source TEXT,
  latency_s REAL,
  created TEXT NOT NULL,
  error TEXT
);
CREATE INDEX call_purpose ON call (purpose, model);
CREATE INDEX call_open ON call (run) WHERE open = 1;
CREATE TABLE body (
  key TEXT PRIMARY KEY,
  request BLOB,                 -- as identity.compress packs it; the JSON body as it was sent
  reply BLOB                    -- the same; the bytes as they came
);
CREATE TABLE attempt (          -- those that gave no answer; the one that did is the call itself
  id INTEGER PRIMARY KEY,
  key TEXT NOT NULL,
  at TEXT NOT NULL,
  kind TEXT NOT NULL,           -- a fault's kind, or crashed
  message TEXT NOT NULL,
  seconds REAL,
  maybe_usd REAL,               -- not NULL: it may have been paid for, at most this much
  reply BLOB                    -- the same; what came, where something came
);
CREATE INDEX attempt_key ON attempt (key);
CREATE INDEX attempt_maybe ON attempt (maybe_usd) WHERE maybe_usd IS NOT NULL;
"""

REPLY_IDENTITY = """
ALTER TABLE call ADD COLUMN request_id TEXT;   -- the provider's id of the reply: tells a second payment from a second look
ALTER TABLE call ADD COLUMN pruned INTEGER NOT NULL DEFAULT 0;
"""

MONEY = """
ALTER TABLE call ADD COLUMN cache_write_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE call ADD COLUMN cache_write_1h_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE call ADD COLUMN table_usd REAL;    -- not NULL: usd is the provider's word, and this the cost by the known price
ALTER TABLE attempt ADD COLUMN settled_usd REAL;    -- not NULL: what of maybe_usd was paid, by an invoice or the user's word
ALTER TABLE attempt ADD COLUMN settlement INTEGER;
CREATE TABLE settlement (
  id INTEGER PRIMARY KEY,
  at TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('invoice', 'forgiven')),
  source TEXT NOT NULL,         -- the invoice's file name, or who said so
  requests INTEGER NOT NULL,    -- attempts that it settled
  maybe_usd REAL NOT NULL,      -- what they may have cost
  paid_usd REAL NOT NULL        -- what they did cost
);
"""

MIGRATIONS: tuple[str, ...] = (BASE, REPLY_IDENTITY, MONEY)
"""Script i brings a file from version i to version i + 1 (PRAGMA user_version)."""


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Whatever opening a ledger raises, in words."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise explain(error, path) from error
    except OSError as error:
        raise WorkFailed(f"Could not open the ledger {path}: {error.strerror}.") from error


def connect(path: Path, busy_timeout_s: float) -> sqlite3.Connection:
    """Opens the file in WAL mode and brings its schema up to date.

    Raises UserError when it is not a ledger or was written by a newer Distil, WorkFailed when it is locked or the disk is full.
    """
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        create_private(path)  # SQLite gives -wal and -shm the same mode
        for name in (f"{path.name}-wal", f"{path.name}-shm"):
            if path.with_name(name).exists():
                create_private(path.with_name(name))
        db = sqlite3.connect(
            path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False, cached_statements=STATEMENTS
        )
        db.execute("PRAGMA journal_mode = WAL")
        # FULL: a commit is on the disk, not only in the system's cache, before anything is counted or sent.
        db.execute("PRAGMA synchronous = FULL")
        migrate(db, path)
    return db


def connect_to_read(path: Path, busy_timeout_s: float) -> sqlite3.Connection:
    """The same for a look, which also works where nothing can be written: a read-only folder or disk.

    Raises UserError and WorkFailed as `connect` does.
    """
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        return connect(path, busy_timeout_s)
    with _explained(path):
        db = _read_only(path, busy_timeout_s)
        if db.execute("PRAGMA user_version").fetchone()[0] < len(MIGRATIONS):
            old, db = db, sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            with contextlib.closing(old):
                old.backup(db)
        migrate(db, path)
    return db


def _read_only(path: Path, busy_timeout_s: float) -> sqlite3.Connection:
    """In WAL mode SQLite wants to make files beside a ledger even to read it, unless it is told that nobody writes."""
    log = path.with_name(f"{path.name}-wal")
    if not log.exists() or not log.stat().st_size:
        uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
        return sqlite3.connect(uri, uri=True, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False)
    with tempfile.TemporaryDirectory() as folder:  # what is in the log alone would be missing
        for file in (path, log):
            shutil.copyfile(file, Path(folder) / file.name)
        db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        with contextlib.closing(sqlite3.connect(Path(folder) / path.name)) as copy:
            copy.backup(db)
    return db


def migrate(db: sqlite3.Connection, path: Path, migrations: tuple[str, ...] = MIGRATIONS) -> None:
    """Runs the missing migrations, each in its own transaction."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > len(migrations):
        raise UserError(
            f"The ledger {path} has schema version {version}; this Distil knows {len(migrations)}. "
            "A newer Distil wrote it: update with `pip install -U distil`."
        )
    while version < len(migrations):
        db.execute("BEGIN IMMEDIATE")
        try:
            # Another process may have done it while this one waited for the lock.
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version < len(migrations):
                for statement in statements(migrations[version]):
                    db.execute(statement)
                version += 1
                db.execute(f"PRAGMA user_version = {version}")
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise


def statements(script: str) -> list[str]:
    """The statements of a script, so that they can run inside one transaction (executescript would commit first)."""
    found, start = [], 0
    for position, sign in enumerate(script):
        if sign == ";" and sqlite3.complete_statement(script[start : position + 1]):
            found.append(script[start : position + 1])
            start = position + 1
    return found


def explain(error: sqlite3.DatabaseError, path: Path) -> UserError | WorkFailed:
    """The error that a person can act on."""
    text = str(error)
    if "not a database" in text or "malformed" in text:
        return UserError(
            f"{path} is not a readable ledger ({text}). Restore it from a copy, or move it away to start a new one."
        )
    if "full" in text:
        return WorkFailed(
            f"The disk is full: nothing more can be written to {path}. Every answer that was paid for is kept; "
            "free some space and run again to continue from here."
        )
    if "locked" in text or "busy" in text:
        return WorkFailed(
            f"The ledger {path} is locked by another process. Nothing is lost; wait for that process and run again."
        )
    return WorkFailed(f"The ledger {path} can't be written: {text}. Nothing in it is lost; fix that and run again.")
