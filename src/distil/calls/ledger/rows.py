"""The rows that go into the ledger, and the SQL that writes a group of each kind in one statement. No files, no threads.

One statement for many rows matters: each step of SQLite hands the interpreter lock away and has to wait for it again.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

# Rows of one statement; 100 rows of 20 columns stay far below SQLite's 32,766 parameters.
GROUP = 100
# One per kind and number of rows: kept, because parsing a statement of a hundred rows costs more than running it.
STATEMENTS = 4 * GROUP + 100


class IntentRow(NamedTuple):
    """A request is about to be sent. Committed before it is."""

    key: str
    purpose: str
    model: str
    endpoint: str
    tier: str
    sample: int
    run: str
    reserve_usd: float
    created: str


class AnsweredRow(NamedTuple):
    """A whole reply came (or was imported)."""

    key: str
    purpose: str
    model: str
    endpoint: str
    tier: str
    sample: int
    run: str
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    usd: float
    price_input: float | None
    price_output: float | None
    price_source: str | None
    latency_s: float | None
    created: str
    request_id: str | None
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    table_usd: float | None = None


class BodyRow(NamedTuple):
    """Both sides of an answered call, compressed."""

    key: str
    request: bytes
    reply: bytes


class AttemptRow(NamedTuple):
    """One sending that gave no answer."""

    key: str
    at: str
    kind: str
    message: str
    seconds: float | None
    maybe_usd: float | None
    reply: bytes | None


class HedgeRow(NamedTuple):
    """A second request for an answer that is late is about to be sent. Committed before it is.

    Until both have ended it stands for one of the two, so that a process that dies has booked both.
    """

    key: str
    at: str
    kind: str
    """hedge."""
    message: str
    maybe_usd: float


class HedgedRow(NamedTuple):
    """Both have ended: the HedgeRow of that key and time holds the reply that was not needed, and what it cost."""

    key: str
    at: str
    seconds: float | None
    usd: float | None
    """None: there was no second reply. An attempt that failed or was cut off has a row of its own."""
    reply: bytes | None


class FailedRow(NamedTuple):
    """A request is given up."""

    key: str
    error: str


Row = IntentRow | AnsweredRow | BodyRow | AttemptRow | HedgeRow | HedgedRow | FailedRow
INTENTS = (IntentRow, HedgeRow)
"""What is written before something is sent."""

_CONFLICT: dict[type, str] = {
    IntentRow: """ON CONFLICT (key) DO UPDATE SET
        open = 1, attempts = attempts + 1, run = excluded.run, reserve_usd = excluded.reserve_usd, error = NULL,
        purpose = CASE status WHEN 'answered' THEN purpose ELSE excluded.purpose END,
        tier = CASE status WHEN 'answered' THEN tier ELSE excluded.tier END,
        status = CASE status WHEN 'answered' THEN status ELSE 'intended' END""",
    # Two processes may have paid for the same question: then both payments count. The same reply seen twice counts once.
    AnsweredRow: """ON CONFLICT (key) DO UPDATE SET
        usd = CASE WHEN status = 'answered' AND request_id IS NOT excluded.request_id
              THEN usd + excluded.usd ELSE excluded.usd END,
        status = 'answered', open = 0, tier = excluded.tier, run = excluded.run, error = NULL, pruned = 0,
        input_tokens = excluded.input_tokens, output_tokens = excluded.output_tokens,
        cached_tokens = excluded.cached_tokens, reasoning_tokens = excluded.reasoning_tokens,
        cache_write_tokens = excluded.cache_write_tokens, cache_write_1h_tokens = excluded.cache_write_1h_tokens,
        table_usd = excluded.table_usd,
        price_input = excluded.price_input, price_output = excluded.price_output, price_source = excluded.price_source,
        latency_s = excluded.latency_s, request_id = excluded.request_id""",
    BodyRow: "ON CONFLICT (key) DO NOTHING",
    AttemptRow: "",
    HedgeRow: "",
}
_TABLE: dict[type, str] = {
    IntentRow: "call",
    AnsweredRow: "call",
    BodyRow: "body",
    AttemptRow: "attempt",
    HedgeRow: "attempt",
}
_FIXED: dict[type, dict[str, str]] = {
    IntentRow: {"status": "'intended'", "open": "1", "attempts": "1"},
    AnsweredRow: {"status": "'answered'", "open": "0", "attempts": "1"},
    BodyRow: {},
    AttemptRow: {},
    HedgeRow: {},
}
# Within a group the order keeps each key's history: what ended before what starts again.
ORDER: tuple[type, ...] = (AnsweredRow, BodyRow, AttemptRow, HedgeRow, HedgedRow, FailedRow, IntentRow)


@functools.lru_cache(maxsize=STATEMENTS)
def insert(kind: type, count: int) -> str:
    """One INSERT of `count` rows of a kind, as an upsert where the key may be there already."""
    fixed = _FIXED[kind]
    columns = ", ".join([*kind._fields, *fixed])  # type: ignore[attr-defined]
    one = "(" + ", ".join(["?"] * len(kind._fields) + list(fixed.values())) + ")"  # type: ignore[attr-defined]
    return f"INSERT INTO {_TABLE[kind]} ({columns}) VALUES {', '.join([one] * count)} {_CONFLICT[kind]}"
