"""What identifies a call, and the bytes that stand for it: the exact wire body, its key, its compressed form.

Pure functions. Used by the client, the ledger, batch jobs and the import of logs.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from datetime import UTC, datetime
from typing import Any

TIER_FIELDS = ("service_tier", "serviceTier")


def call_key(endpoint: str, body: dict[str, Any], sample: int = 0) -> str:
    """Key of a call: hash of (endpoint, final wire body, sample index), as `call_` + 20 hex digits.

    The tier is left out: what was bought in a batch is not bought again live.
    """
    if any(field in body for field in TIER_FIELDS):
        body = {name: value for name, value in body.items() if name not in TIER_FIELDS}
    return key_of_bytes(endpoint, wire_bytes(body), sample)


def key_of_bytes(endpoint: str, body: bytes, sample: int) -> str:
    """`call_key` for a body that is already encoded by `wire_bytes` and carries no tier."""
    digest = hashlib.blake2b(b"%s\n%d\n" % (endpoint.encode(), sample), digest_size=10)
    digest.update(body)
    return f"call_{digest.hexdigest()}"


def wire_bytes(body: dict[str, Any]) -> bytes:
    """The bytes that are sent, in the order that the provider wrote: JSON schemas are answered in the order of their keys."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def compress(data: bytes) -> bytes:
    """zlib at its fastest: bodies are small and many."""
    return zlib.compress(data, 1)


def timestamp() -> str:
    """ISO time, UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
