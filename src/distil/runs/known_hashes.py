"""Hashes of large files that were hashed before and have not been touched since, so that `distil status` reads no weights twice.

Touched = another file, size, or time of the last write or change of it (which nobody can set back). Where a wrong answer would do
harm (a start under a certificate, what a stage notes down) the bytes are read.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from distil.ids import content_id, file_sha256
from distil.runs.artifacts import Project
from distil.runs.cache import Cache

LARGE = 1 << 20
"""Bytes below which reading a file is as fast as looking it up."""
SETTLED_S = 2.0
"""A file that was changed since may be changed again within one tick of the clock of its disk."""


class KnownHashes:
    """The hashes that one project remembers."""

    def __init__(self, project: Project) -> None:
        self._cache = Cache(project.cache)

    def sha256(self, path: Path) -> str:
        """As `file_sha256`."""
        about = path.stat()
        if about.st_size < LARGE:
            return file_sha256(path)
        then = [about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns]
        key = content_id("file", [str(path.resolve()), *then])
        known = self._cache.get([key]).get(key)
        if known is not None:
            return known.decode()
        found = file_sha256(path)
        if time.time() - about.st_ctime > SETTLED_S and self._cache.path is not None and _writable(self._cache.path):
            self._cache.put({key: found.encode()})
        return found


def _writable(path: Path) -> bool:
    """A project may be read-only: then nothing is remembered, and nothing is said of it."""
    return os.access(path if path.exists() else path.parent, os.W_OK)
