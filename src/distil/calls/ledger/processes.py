"""Which processes write to a ledger, and what one that died left open."""

from __future__ import annotations

import sqlite3

from distil.ids import now
from distil.runs.processes import Process, this_process

OUTLIVES = "('batch', 'job')"
"""Tiers of what goes on at the provider when its process dies, as SQL."""


def begin_run(db: sqlite3.Connection, run: str) -> None:
    """Notes this process as a writer, and turns what dead ones left open into attempts that may have been paid for.

    Not what is in a batch or a fine-tuning job: both outlive the process that sent them, and calls/batch and calls/fine_tuning
    keep their state.
    """
    runs = db.execute("SELECT id, pid, host, born FROM run").fetchall()
    dead = [row[0] for row in runs if not Process(*row[1:]).alive]
    db.execute("BEGIN IMMEDIATE")
    for run_id in dead:
        db.execute(
            "INSERT INTO attempt (key, at, kind, message, maybe_usd) SELECT key, ?, 'crashed', "
            "'the process ended while it waited for the reply', reserve_usd FROM call "
            f"WHERE open = 1 AND tier NOT IN {OUTLIVES} AND run = ?",
            [now(), run_id],
        )
        db.execute(f"UPDATE call SET open = 0 WHERE open = 1 AND tier NOT IN {OUTLIVES} AND run = ?", [run_id])
        db.execute("DELETE FROM run WHERE id = ?", [run_id])
    db.execute(
        "INSERT INTO run (id, pid, host, born, started) VALUES (?, ?, ?, ?, ?)",
        [run, *this_process(), now()],
    )
    db.execute("COMMIT")


def end_run(db: sqlite3.Connection, run: str) -> None:
    """Forgets a run that ended in order and left nothing open."""
    db.execute(
        "DELETE FROM run WHERE id = ? AND NOT EXISTS "
        f"(SELECT 1 FROM call WHERE open = 1 AND tier NOT IN {OUTLIVES} AND run = ?)",
        [run, run],
    )
