"""Settles what may have been paid: by an invoice, or by the user's word. The attempts and what they may have cost stay as facts.

An invoice's dollars of a model, less what the ledger knows that was paid for it in the same days, is what its lost replies cost,
at most what they may have cost. Other programs on the same account can only make that sum larger, never smaller.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from typing import NamedTuple

from distil.calls.ledger.invoice import Invoice
from distil.errors import UserError
from distil.ids import now


class Settled(NamedTuple):
    """What one model's open attempts came to."""

    model: str
    requests: int
    maybe_usd: float
    """What they may have cost."""
    paid_usd: float
    """What counts as paid from now on."""
    invoice_usd: float | None
    """The invoice's dollars of the model in its days; None: by the user's word."""
    known_usd: float
    """What the ledger knows that was paid for the model in those days."""


class _Attempt(NamedTuple):
    id: int
    model: str
    maybe_usd: float


def forgive(db: sqlite3.Connection) -> list[Settled]:
    """Counts every open attempt as not paid."""
    settled = [
        Settled(model, len(attempts), sum(one.maybe_usd for one in attempts), 0.0, None, 0.0)
        for model, attempts in _open_attempts(db, "0", "9").items()
    ]
    _store(db, "forgiven", "the user", settled, _open_attempts(db, "0", "9"))
    return settled


def reconcile(db: sqlite3.Connection, invoice: Invoice) -> list[Settled]:
    """Settles the open attempts of the invoice's days, model by model. A model that it does not name stays open.

    Raises UserError when it names none of the models with open attempts.
    """
    first, last = invoice.first.isoformat(), f"{invoice.last.isoformat()}~"  # `~` sorts after every time of that day
    attempts = _open_attempts(db, first, last)
    settled = []
    if all(name is None for _, name in invoice.usd):
        _refuse_several(db, invoice, first, last)
    for model, ones in attempts.items():
        billed = invoice.billed(model)
        if billed is None:
            continue
        known = _known(db, model, first, last)
        maybe = sum(one.maybe_usd for one in ones)
        settled.append(Settled(model, len(ones), maybe, min(max(billed - known, 0.0), maybe), billed, known))
    if attempts and not settled:
        names = ", ".join(sorted({str(name) for _, name in invoice.usd})[:8])
        raise UserError(
            f"{invoice.source} names no model with open requests in this ledger. Found: {names}. Expected: "
            f"{', '.join(sorted(attempts))}. Export that provider's invoice, or count them as unpaid: distil ledger --forgive"
        )
    _store(db, "invoice", invoice.source, settled, attempts)
    return settled


def _open_attempts(db: sqlite3.Connection, first: str, last: str) -> dict[str, list[_Attempt]]:
    rows = db.execute(
        "SELECT attempt.id, call.model, attempt.maybe_usd FROM attempt JOIN call USING (key) "
        "WHERE maybe_usd IS NOT NULL AND settled_usd IS NULL AND call.created >= ? AND call.created <= ?",
        [first, last],
    )
    found: dict[str, list[_Attempt]] = defaultdict(list)
    for row in rows:
        found[row[1]].append(_Attempt(*row))
    return dict(found)


def _known(db: sqlite3.Connection, model: str, first: str, last: str) -> float:
    row = db.execute(
        "SELECT coalesce(sum(usd), 0) FROM call WHERE model = ? AND created >= ? AND created <= ?", [model, first, last]
    ).fetchone()
    earlier = db.execute(
        "SELECT coalesce(sum(settled_usd), 0) FROM attempt JOIN call USING (key) "
        "WHERE model = ? AND call.created >= ? AND call.created <= ?",
        [model, first, last],
    ).fetchone()
    return float(row[0]) + float(earlier[0])


def _refuse_several(db: sqlite3.Connection, invoice: Invoice, first: str, last: str) -> None:
    rows = db.execute("SELECT DISTINCT model FROM call WHERE usd > 0 AND created >= ? AND created <= ?", [first, last])
    models = sorted(row[0] for row in rows)
    if len(models) > 1:
        raise UserError(
            f"{invoice.source} has no column for the model, and this ledger paid {len(models)} models in its days: "
            f"{', '.join(models[:6])}. Export the invoice by model (OpenAI: group by line item)."
        )


def _store(
    db: sqlite3.Connection, kind: str, source: str, settled: list[Settled], attempts: dict[str, list[_Attempt]]
) -> None:
    if not settled:
        return
    requests = sum(one.requests for one in settled)
    maybe, paid = sum(one.maybe_usd for one in settled), sum(one.paid_usd for one in settled)
    db.execute("BEGIN IMMEDIATE")
    try:
        number = db.execute(
            "INSERT INTO settlement (at, kind, source, requests, maybe_usd, paid_usd) VALUES (?, ?, ?, ?, ?, ?)",
            [now(), kind, source, requests, maybe, paid],
        ).lastrowid
        for one in settled:
            share = one.paid_usd / one.maybe_usd if one.maybe_usd > 0 else 0.0
            db.executemany(
                "UPDATE attempt SET settled_usd = ?, settlement = ? WHERE id = ? AND settled_usd IS NULL",
                [(attempt.maybe_usd * share, number, attempt.id) for attempt in attempts[one.model]],
            )
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise
