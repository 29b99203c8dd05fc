"""What is slow to make and never changes: answers of local models and embeddings, in one SQLite file per project.

Every value lies under the hash of all that it depends on, so nothing ever has to be thrown away, and the file may be deleted at
any time. What is written survives a kill at any moment; several processes may use it at once. A file that can't be read is moved
aside and replaced; one that can't be written costs only the time. Never an error for the caller. Not for paid answers: those
are in the ledger.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from distil.progress import say

TABLE = "CREATE TABLE IF NOT EXISTS cache (key TEXT PRIMARY KEY, value BLOB NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID"
WAIT_S = 30.0
"""How long one process waits for another that is writing."""
AT_ONCE = 500
"""Keys per query (SQLite takes 999)."""


class Cache:
    """Values (bytes) by key. `path` None, or a file that can't be used: remembers nothing."""

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def get(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Those of the keys that are there. A damaged value is as if it were missing."""
        found: dict[str, bytes] = {}
        if self.path is None or not self.path.exists():
            return found
        try:
            with closing(self._connect()) as connection:
                for start in range(0, len(keys), AT_ONCE):
                    part = keys[start : start + AT_ONCE]
                    marks = ", ".join("?" * len(part))
                    rows = connection.execute(f"SELECT key, value, checksum FROM cache WHERE key IN ({marks})", part)
                    found |= {key: value for key, value, checksum in rows if zlib.crc32(value) == checksum}
        except sqlite3.Error as error:
            self._give_up(error)
        return found

    def put(self, values: Mapping[str, bytes]) -> None:
        """Keeps the values, all or none; those that are there are replaced."""
        if self.path is None or not values:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._connect()) as connection, connection:
                rows = [(key, value, zlib.crc32(value)) for key, value in values.items()]
                connection.executemany("INSERT OR REPLACE INTO cache VALUES (?, ?, ?)", rows)
        except (sqlite3.Error, OSError) as error:
            if self._give_up(error):
                self.put(values)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(str(self.path), timeout=WAIT_S)
        try:
            connection.execute(TABLE)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _give_up(self, error: Exception) -> bool:
        """Says why the file can't be used; moves a damaged one aside and returns True, else remembers nothing from now on."""
        assert self.path is not None
        path = self.path
        # OperationalError = busy, read-only, disk full, no permission: the file itself may be whole.
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            try:
                os.replace(path, path.with_suffix(".damaged"))
                path.with_name(path.name + "-journal").unlink(missing_ok=True)
                say(f"{path} was damaged ({error}) and was replaced; answers and embeddings are computed again.")
                return True
            except OSError as other:
                error = other
        say(f"{path} can't be used ({error}): nothing is kept for the next evaluation.")
        self.path = None
        return False
