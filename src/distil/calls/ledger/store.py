"""The only record of money: every paid call, its raw reply, its price. One SQLite file per project.

    intent committed -> request sent -> raw reply committed -> reply returned, counted, reported

A call's key is the hash of endpoint, final wire body and sample index, so the same request is never paid twice, and what a
reply means is always read from its raw body, so a changed parser costs nothing. Holds no key and no header.
Not a cache with an expiry: rows stay until `prune`.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from distil.calls.identity import compress, decompress
from distil.calls.ledger.invoice import Invoice
from distil.calls.ledger.processes import OUTLIVES, begin_run, end_run
from distil.calls.ledger.rescue import recover_rescued
from distil.calls.ledger.rows import AnsweredRow, BodyRow, FailedRow, IntentRow, Row
from distil.calls.ledger.schema import connect, connect_to_read, explain
from distil.calls.ledger.settle import Settled, forgive, reconcile
from distil.calls.ledger.writer import Writer
from distil.calls.request import JsonObject
from distil.errors import UserError
from distil.ids import content_id, now
from distil.progress import dollars
from distil.records import Call, Usage
from distil.runs.processes import Process

_TOKENS = ", ".join(Usage.model_fields)
# Columns that are fields of `Call` under the same name.
_FIELDS = (
    "purpose, model, status, usd, table_usd, price_input, price_output, price_source, tier, latency_s, attempts, "
    "created, error"
)
_CALL = f"key, {_TOKENS}, {_FIELDS}"
_FIELD_NAMES = tuple(_FIELDS.split(", "))
_FIND = f"""SELECT {", ".join(f"call.{name}" for name in _CALL.split(", "))}, body.reply, pruned, open
            FROM call LEFT JOIN body USING (key) WHERE key = ?"""
_FIND_BRIEF = f"SELECT {_CALL}, NULL, pruned, open FROM call WHERE key = ?"


class Uncertain(NamedTuple):
    """Attempts that got no whole answer although the provider may have charged for them."""

    requests: int
    """How many."""
    usd: float
    """The most they can have cost."""

    def __str__(self) -> str:
        plural = "request" if self.requests == 1 else "requests"
        return f"at most {self.requests:,} {plural} / {dollars(self.usd)} may have been paid twice"


class Stored(NamedTuple):
    """What the ledger holds of one key."""

    call: Call
    reply: bytes | None
    """The raw body; None when there is none yet, or it was pruned."""
    pruned: bool
    open: bool
    """Sent and not back yet; for a batch that can be a day."""


class Totals(NamedTuple):
    """Sums over the answered calls of one purpose, model and tier."""

    purpose: str
    model: str
    tier: str
    calls: int
    usage: Usage
    usd: float
    table_usd: float = 0.0
    """What it would be by the known prices; differs from `usd` where providers name the cost themselves."""


class Recorded(NamedTuple):
    """A reply that did not come from a live request: a batch file, or a log that is imported."""

    key: str
    """`call_key(...)`, or `Client.key(request)` so that the same request is then answered from the ledger."""
    purpose: str
    model: str
    request: bytes
    """The request's JSON body."""
    reply: bytes
    """The reply's raw body, in the form that the provider's `parse` reads."""
    usage: Usage
    usd: float = 0.0
    endpoint: str = "import"
    tier: str = "standard"
    sample: int = 0
    price: tuple[float | None, float | None, str | None] = (None, None, None)
    request_id: str | None = None
    """The provider's id of this reply: recording the same one again adds no money."""
    table_usd: float | None = None
    """What the tokens cost by the known price, where `usd` is the provider's word."""


class Ledger:
    """Opens `path` when it is first needed. Reading needs no more; `start()` begins writing, `close()` ends it.

    Raises UserError (no ledger, newer schema) or WorkFailed (locked longer than `busy_timeout_s`, disk full).
    """

    def __init__(self, path: Path | str, *, busy_timeout_s: float = 30.0) -> None:
        self.path = Path(path)
        self._busy_timeout_s = busy_timeout_s
        self._db: sqlite3.Connection | None = None
        self._writer: Writer | None = None
        self.run = content_id("run", [os.getpid(), now(), os.urandom(8).hex()])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # -- writing ----------------------------------------------------------------------------------------------------

    def start(self) -> Writer:
        """Begins writing: takes in rescued replies, notes what a dead process left open, starts the writer's thread."""
        if self._writer is None:
            db = connect(self.path, self._busy_timeout_s)
            try:
                recover_rescued(db, self.path)
                begin_run(db, self.run)
            except sqlite3.DatabaseError as error:
                raise explain(error, self.path) from error
            self._writer = Writer(db, self.path)
        return self._writer

    def retry(self) -> None:
        """After an error of writing, such as a full disk: writes again from the next rows on, if that works now."""
        if self._writer is not None:
            self._writer.retry()

    def close(self) -> None:
        """Writes what is left, and closes the file."""
        if self._writer is not None:
            db = self._writer.close()
            with contextlib.suppress(sqlite3.DatabaseError):  # a full disk: the run then counts as dead, which is right
                end_run(db, self.run)
            db.close()
            self._writer = None
        if self._db is not None:
            self._db.close()
            self._db = None

    def record(self, replies: Sequence[Recorded]) -> None:
        """Stores whole replies that did not come from a live request, durably, before it returns. Raises WorkFailed."""
        rows: list[Row] = []
        for reply in replies:
            rows += [self.answered_row(reply), BodyRow(reply.key, compress(reply.request), compress(reply.reply))]
        self.start().put(rows).result()

    def answered_row(self, reply: Recorded, latency_s: float | None = None) -> AnsweredRow:
        """The row of one whole reply."""
        usage = reply.usage
        return AnsweredRow(
            key=reply.key,
            purpose=reply.purpose,
            model=reply.model,
            endpoint=reply.endpoint,
            tier=reply.tier,
            sample=reply.sample,
            run=self.run,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cached_tokens=usage.cached_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            usd=reply.usd,
            price_input=reply.price[0],
            price_output=reply.price[1],
            price_source=reply.price[2],
            latency_s=latency_s,
            created=now(),
            request_id=reply.request_id,
            cache_write_tokens=usage.cache_write_tokens,
            cache_write_1h_tokens=usage.cache_write_1h_tokens,
            table_usd=reply.table_usd,
        )

    def intend(self, intents: Sequence[IntentRow]) -> None:
        """Commits that these are about to be sent (for batch files; the client writes its own). Raises WorkFailed."""
        self.start().put(intents).result()

    def fail(self, failures: Sequence[tuple[str, str]]) -> None:
        """Commits that calls are given up: (key, why)."""
        self.start().put([FailedRow(*failure) for failure in failures]).result()

    def prune(self, *, before: str | None = None, purpose: str | None = None) -> int:
        """Deletes the bodies of answered calls (older than an ISO time, of one purpose); money and tokens stay.

        Returns how many. A pruned call is still never paid again, but its text can't be read from the ledger any more.
        """
        where, values = "status = 'answered' AND pruned = 0", list[Any]()
        if before is not None:
            where, values = where + " AND created < ?", [*values, before]
        if purpose is not None:
            where, values = where + " AND purpose = ?", [*values, purpose]
        db = self._reader()
        if db is None:
            return 0
        try:
            db.execute("BEGIN IMMEDIATE")
            db.execute(f"DELETE FROM body WHERE key IN (SELECT key FROM call WHERE {where})", values)
            count = db.execute(f"UPDATE call SET pruned = 1 WHERE {where}", values).rowcount
            db.execute("COMMIT")
            db.execute("VACUUM")
        except sqlite3.DatabaseError as error:
            raise explain(error, self.path) from error
        return count

    # -- reading ----------------------------------------------------------------------------------------------------

    def calls(self, purpose: str | None = None) -> Iterator[Call]:
        """Every call, oldest first, without the bodies."""
        where, values = _where(purpose)
        for row in self._query(f"SELECT {_CALL} FROM call {where} ORDER BY created, key", values):
            yield _call(row)

    def find(self, key: str, *, text: bool = True) -> Stored | None:
        """What is known of one key; None when it was never requested. text: False leaves the reply out, which is quicker."""
        row = self._one(_FIND if text else _FIND_BRIEF, [key])
        if row is None:
            return None
        reply = decompress(row[-3]) if row[-3] is not None else None
        return Stored(_call(row[:-3]), reply, bool(row[-2]), bool(row[-1]))

    def body(self, call_id: str) -> tuple[JsonObject, bytes]:
        """(the request's JSON body, the reply's raw bytes) of an answered call. Raises UserError when they aren't there."""
        row = self._one("SELECT request, reply FROM body WHERE key = ?", [call_id])
        if row is None or row[1] is None:
            raise UserError(
                f"{self.path} holds no bodies of {call_id}: it was never answered, or they were pruned. "
                "See `distil ledger` for the calls that are there."
            )
        return json.loads(decompress(row[0])), decompress(row[1])

    def answered(self, purpose: str | None = None) -> set[str]:
        """Keys of the answered calls."""
        where, values = _where(purpose, "status = 'answered'")
        return {row[0] for row in self._query(f"SELECT key FROM call {where}", values)}

    def knows(self, model: str) -> bool:
        """True when the model has answered here before (what was imported from logs does not count)."""
        sql = "SELECT 1 FROM call WHERE model = ? AND status = 'answered' AND purpose != 'import' LIMIT 1"
        return self._one(sql, [model]) is not None

    def garbled(self, key: str) -> list[bytes]:
        """Whole bodies that no parser could read so far: a better parser need not pay again."""
        rows = self._query("SELECT reply FROM attempt WHERE key = ? AND kind = 'garbled' AND reply IS NOT NULL", [key])
        return [decompress(row[0]) for row in rows]

    def attempts(self, key: str | None = None) -> Iterator[tuple[str, str, str, str, float | None]]:
        """(key, ISO time, kind, message, most dollars it may have cost or None) of the attempts that gave no answer."""
        where, values = ("WHERE key = ?", [key]) if key else ("", [])
        yield from self._query(f"SELECT key, at, kind, message, maybe_usd FROM attempt {where} ORDER BY id", values)

    def spent(self, purpose: str | None = None, *, before: str | None = None) -> float:
        """Dollars of the answered calls, of second replies to hedged ones, and of lost ones that an invoice showed to be paid.

        before: of the calls made before an ISO time only.
        """
        earlier, times = (["created < ?"], [before]) if before is not None else ([], [])
        where, values = _where(purpose, *earlier)
        row = self._one(f"SELECT coalesce(sum(usd), 0) FROM call {where}", [*times, *values])
        lost, values = _where(purpose, "settled_usd > 0", *earlier)
        sql = f"SELECT coalesce(sum(settled_usd), 0) FROM attempt JOIN call USING (key) {lost}"
        settled = self._one(sql, [*times, *values])
        return float(row[0]) + float(settled[0]) if row and settled else 0.0

    def totals(self, purpose: str | None = None) -> list[Totals]:
        """Tokens and dollars of the answered calls by purpose, model and tier."""
        where, values = _where(purpose, "status = 'answered'")
        sums = ", ".join(f"sum({name})" for name in Usage.model_fields)
        rows = self._query(
            f"SELECT purpose, model, tier, count(*), {sums}, sum(usd), sum(coalesce(table_usd, usd)) "
            f"FROM call {where} GROUP BY purpose, model, tier ORDER BY 1, 2, 3",
            values,
        )
        return [Totals(r[0], r[1], r[2], r[3], _usage(r[4:-2]), float(r[-2]), float(r[-1])) for r in rows]

    def overruns(self, model: str) -> tuple[int, float, int]:
        """(tokens of the longest answer that cost more than was reserved, largest bill relative to what was known, bills).

        From live calls; a bill that its tokens explain at the noted price is not larger than what was known.
        """
        row = self._one(
            "SELECT max(CASE WHEN usd > reserve_usd THEN output_tokens ELSE 0 END), "
            "max(usd / max(reserve_usd, (input_tokens * coalesce(price_input, 0) "
            "+ output_tokens * coalesce(price_output, 0)) / 1e6)), count(*) "
            "FROM call WHERE model = ? AND status = 'answered' AND tier NOT IN " + OUTLIVES + " AND reserve_usd > 0",
            [model],
        )
        if row is None or row[1] is None:
            return 0, 1.0, 0
        return int(row[0]), float(row[1]), int(row[2])

    def usage(self, purpose: str | None = None) -> Usage:
        """Sum of the billed tokens."""
        totals = [total.usage for total in self.totals(purpose)]
        return Usage(**{name: sum(getattr(usage, name) for usage in totals) for name in Usage.model_fields})

    def uncertain(self, purpose: str | None = None) -> Uncertain:
        """What may have been paid for without an answer: sent when a process died, cut off, timed out, or unreadable."""
        condition = "AND purpose = ?" if purpose is not None else ""
        values = [purpose] if purpose is not None else []
        row = self._one(
            "SELECT count(*), coalesce(sum(maybe_usd), 0) FROM attempt JOIN call USING (key) "
            f"WHERE maybe_usd IS NOT NULL AND settled_usd IS NULL {condition}",
            values,
        )
        count, usd = row or (0, 0.0)
        rows = self._query(
            f"SELECT run, count(*), sum(reserve_usd) FROM call WHERE open = 1 AND tier NOT IN {OUTLIVES} {condition} "
            "GROUP BY run",
            values,
        )
        alive = {run[0] for run in self._query("SELECT id, pid, host, born FROM run", []) if Process(*run[1:]).alive}
        for run, left_open, reserved in rows:
            if run not in alive:
                count, usd = count + left_open, usd + reserved
        return Uncertain(int(count), float(usd))

    def reserved(self, purpose: str, tier: str, *, but: str = "") -> float:
        """Dollars held for what is open of a purpose and a tier, except for one key."""
        sql = "SELECT coalesce(sum(reserve_usd), 0) FROM call WHERE open = 1 AND purpose = ? AND tier = ? AND key != ?"
        row = self._one(sql, [purpose, tier, but])
        return float(row[0]) if row else 0.0

    def settle(self, invoice: Invoice | None) -> list[Settled]:
        """Settles what may have been paid, by an invoice or (None) as not paid. What a dead process left open counts, too."""
        self.start()
        db = self._reader()
        assert db is not None
        try:
            return forgive(db) if invoice is None else reconcile(db, invoice)
        except sqlite3.DatabaseError as error:
            raise explain(error, self.path) from error

    # -- inside -----------------------------------------------------------------------------------------------------

    def _reader(self) -> sqlite3.Connection | None:
        """None while there is no file: looking must not create one."""
        if self._db is None:
            if not self.path.exists():
                return None
            self._db = connect_to_read(self.path, self._busy_timeout_s)
        return self._db

    def _query(self, sql: str, values: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
        db = self._reader()
        if db is None:
            return
        try:
            yield from db.execute(sql, values)
        except sqlite3.DatabaseError as error:
            raise explain(error, self.path) from error

    def _one(self, sql: str, values: Sequence[Any]) -> tuple[Any, ...] | None:
        return next(self._query(sql, values), None)


def _where(purpose: str | None, *conditions: str) -> tuple[str, list[Any]]:
    parts = [*conditions, *(["purpose = ?"] if purpose is not None else [])]
    return (f"WHERE {' AND '.join(parts)}" if parts else "", [purpose] if purpose is not None else [])


def _usage(values: Sequence[Any]) -> Usage:
    return Usage(**dict(zip(Usage.model_fields, values, strict=True)))


def _call(row: Sequence[Any]) -> Call:
    tokens = 1 + len(Usage.model_fields)
    return Call(id=row[0], usage=_usage(row[1:tokens]), **dict(zip(_FIELD_NAMES, row[tokens:], strict=True)))
