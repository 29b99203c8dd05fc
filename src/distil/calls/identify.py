"""From a request to the exact bytes that would be sent and the ledger's key for them: the same for live calls and batches.

Pure. Used by client.py and calls/batch, so that what one has paid for the other finds.
"""

from __future__ import annotations

from typing import NamedTuple

from distil.calls.catalog import Opened
from distil.calls.keys import call_key, wire_bytes
from distil.calls.provider import WireRequest
from distil.calls.request import Request


class Identity(NamedTuple):
    """One request to one teacher."""

    key: str
    """Hash of (endpoint, final wire body without its tier, sample index)."""
    body: bytes
    """The JSON body as it is sent."""
    wire: WireRequest | None
    """For the first replica; None for what answers in this process."""


def endpoint_of(opened: Opened) -> str:
    """What stands for the API in the ledger's key; for what answers in this process, what would change its answers.

    May hash a file: ask once per teacher, not per request.
    """
    return opened.endpoint if opened.local is None else f"{opened.endpoint}@{opened.local.identity()}"


def identify(opened: Opened, request: Request, endpoint: str) -> Identity:
    """`endpoint` is `endpoint_of(opened)`. Raises UserError when this model can't be asked so."""
    wire = opened.replicas[0].wire(request) if opened.local is None else None
    body = wire.body if wire is not None else request.asked()
    data = wire_bytes(body)
    return Identity(call_key(endpoint, body, request.sample, data), data, wire)
