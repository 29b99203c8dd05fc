"""Who may use a gateway: one row of work/serve/keys.jsonl for each API key. Written by `distil serve --new-key`."""

from __future__ import annotations

from pydantic import Field

from distil.records import Record


class GatewayKey(Record):
    """One API key, of which only the hash is kept."""

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,60}$")
    """Whose it is; a new key of the same name is valid beside the old one until that is revoked."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of the whole key, in hex."""
    requests_per_minute: int | None = Field(default=None, ge=1)
    """More are refused with 429; None = no limit."""
    page: bool = False
    """Whether it opens the gateway's page too, which shows what everybody asks."""
    usd_per_day: float | None = Field(default=None, ge=0)
    """What the teacher's answers may cost in a day (UTC), for all keys of the name; the newest key's counts. None = no limit."""
    created: str
    """ISO time, UTC."""
