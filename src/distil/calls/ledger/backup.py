"""A copy of the ledger in one file, whole at one moment, also while a run writes to it.

`cp ledger.sqlite` loses the last answers: they are in ledger.sqlite-wal beside it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path
from typing import NamedTuple

from distil.calls.ledger.rescue import rescue_path
from distil.calls.ledger.schema import explain
from distil.errors import UserError, WorkFailed
from distil.runs.private import create_private


class Copied(NamedTuple):
    """What a backup holds."""

    file: Path
    calls: int
    """Calls, answered or not."""
    usd: float
    """Dollars that they cost."""


def back_up(ledger: Path, target: Path) -> Copied:
    """Copies the ledger by SQLite's own means; the file appears whole or not at all, and only its owner may read it.

    Raises UserError when `target` exists, WorkFailed when it can't be written.
    """
    if target.exists():
        raise UserError(
            f"{target} exists already, and a backup overwrites nothing. Choose another name, or move it away."
        )
    partial = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        create_private(partial)
        copied = _copy(ledger, partial)
        os.link(partial, target)  # fails where a file of this name has appeared meanwhile
        if rescue_path(
            ledger
        ).exists():  # answers that the ledger takes in when it is next opened, and so does the copy
            create_private(rescue_path(target))
            shutil.copyfile(rescue_path(ledger), rescue_path(target))
    except FileExistsError:
        raise UserError(
            f"{target} has appeared while it was written. Nothing was overwritten; choose another name."
        ) from None
    except sqlite3.DatabaseError as error:
        raise explain(error, ledger) from error
    except OSError as error:
        raise WorkFailed(f"Could not write the backup {target}: {error.strerror}.") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return copied._replace(file=target)


def _copy(ledger: Path, target: Path) -> Copied:
    with (
        contextlib.closing(sqlite3.connect(f"{ledger.resolve().as_uri()}?mode=ro", uri=True, timeout=30)) as source,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # one file; the ledger's own mode would need two more beside it
        damage = copy.execute("PRAGMA quick_check").fetchone()[0]
        if damage != "ok":
            raise WorkFailed(f"{ledger} is damaged, and so would be its copy: {damage}. Nothing was written.")
        calls, usd = copy.execute("SELECT count(*), coalesce(sum(usd), 0) FROM call").fetchone()
    return Copied(target, calls, usd)
