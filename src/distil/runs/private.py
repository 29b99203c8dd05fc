"""Files that only their owner may read: the ledger and what else holds customers' prompts outside of work/.

Where the system has no such modes (Windows), nothing is changed.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

OWNER_ONLY = 0o600


def create_private(path: Path) -> None:
    """Makes the file, empty, when it does not exist; takes others' rights to it away when it does. Raises OSError."""
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, OWNER_ONLY))
    if os.name == "posix" and path.stat().st_mode & 0o077:
        # Another user's file, or a disk without modes: it can be used, so the work goes on.
        with contextlib.suppress(PermissionError):
            path.chmod(OWNER_ONLY)
