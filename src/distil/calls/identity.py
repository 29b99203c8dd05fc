"""What identifies a call, and its bytes: the exact wire body, its key, its compressed form.

Pure functions.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from typing import NamedTuple

from distil.calls.providers.base import WireRequest
from distil.calls.providers.catalog import Opened
from distil.calls.request import JsonObject, Request

TIER_FIELDS = ("service_tier", "serviceTier")
PLAIN_BELOW = 300


def call_key(endpoint: str, body: JsonObject, sample: int = 0, encoded: bytes | None = None) -> str:
    """Key of a call: hash of (endpoint, final wire body, sample index), as `call_` + 20 hex digits.

    The tier is left out: what was bought in a batch is not bought again live. `encoded` is `wire_bytes(body)`, where it is
    at hand already.
    """
    if any(field in body for field in TIER_FIELDS):
        encoded = wire_bytes({name: value for name, value in body.items() if name not in TIER_FIELDS})
    digest = hashlib.blake2b(b"%s\n%d\n" % (endpoint.encode(), sample), digest_size=10)
    digest.update(wire_bytes(body) if encoded is None else encoded)
    return f"call_{digest.hexdigest()}"


def wire_bytes(body: JsonObject) -> bytes:
    """The bytes that are sent, in the order that the provider wrote: JSON schemas are answered in the order of their keys."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def compress(data: bytes) -> bytes:
    """zlib with a small window: bodies are small and many, and setting up the default window costs ten times the rest.

    The shortest are stored uncompressed behind a zero byte, which never starts a zlib stream.
    """
    if len(data) < PLAIN_BELOW:
        return b"\0" + data
    packer = zlib.compressobj(1, zlib.DEFLATED, 13, 5)
    return packer.compress(data) + packer.flush()


def decompress(data: bytes) -> bytes:
    """The inverse of `compress`."""
    return data[1:] if data[:1] == b"\0" else zlib.decompress(data)


class Identity(NamedTuple):
    """One request to one teacher."""

    key: str
    """Hash of (endpoint, final wire body without its tier, sample index)."""
    body: bytes
    """The JSON body as it is sent."""
    wire: WireRequest | None
    """For the first replica; None for what answers in this process."""


def endpoint_of(opened: Opened) -> str:
    """Identifies the API in the ledger's key; for a local model, whatever would change its answers.

    May hash a file: call it once per teacher, not per request.
    """
    return opened.endpoint if opened.local is None else f"{opened.endpoint}@{opened.local.identity()}"


def identify(opened: Opened, request: Request, endpoint: str) -> Identity:
    """`endpoint` is `endpoint_of(opened)`. Raises UserError when the model does not support the request."""
    wire = opened.replicas[0].wire(request) if opened.local is None else None
    body = wire.body if wire is not None else request.neutral_body()
    data = wire_bytes(body)
    return Identity(call_key(endpoint, body, request.sample, data), data, wire)
