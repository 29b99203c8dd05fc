"""The gateway's API keys: made, revoked, and checked on every request. Only their hashes are on the disk.

Without a key in the file nobody is asked for one; then the gateway listens on this machine alone. Not the keys of the teacher.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import ValidationError

from distil.errors import UserError, did_you_mean
from distil.ids import now
from distil.runs.jsonl import describe, read_records, write_records
from distil.runs.schemas.gateway_keys import GatewayKey
from distil.serve.wire import BadRequest

PREFIX = "distil-"
LOOK_S = 1.0
"""How often the file is looked at for new and revoked keys."""


def new_key(
    path: Path,
    name: str,
    requests_per_minute: int | None = None,
    *,
    page: bool = False,
    usd_per_day: float | None = None,
) -> str:
    """Makes a key and returns it: the only time that anybody sees it. Raises UserError for a name that can't be one."""
    key = PREFIX + secrets.token_urlsafe(32)
    try:
        row = GatewayKey(
            name=name,
            sha256=_hash(key),
            requests_per_minute=requests_per_minute,
            page=page,
            usd_per_day=usd_per_day,
            created=now("seconds"),
        )
    except ValidationError as error:
        raise UserError(
            f"The key can't be made: {describe(error)}. A name has up to 60 letters, digits, dots, hyphens and underscores."
        ) from None
    path.parent.mkdir(parents=True, exist_ok=True)
    write_records(path, [*read_keys(path), row], private=True)
    return key


def revoke(path: Path, name: str, *, keep_newest: bool = False) -> int:
    """Takes all keys of a name away, or all but the newest, and returns how many. Raises UserError when there is none."""
    rows = read_keys(path)
    names = {row.name for row in rows}
    if name not in names:
        known = f" There are: {', '.join(sorted(names))}." if names else " There are no keys."
        raise UserError(f"There is no key {name!r}.{did_you_mean(name, names) or known}")
    newest = [row for row in rows if row.name == name][-1] if keep_newest else None
    kept = [row for row in rows if row.name != name or row is newest]
    write_records(path, kept, private=True)
    return len(rows) - len(kept)


def read_keys(path: Path) -> list[GatewayKey]:
    """All keys, oldest first. Raises UserError when the file can't be read."""
    return list(read_records(path, GatewayKey)) if path.exists() else []


class Keys:
    """The keys of a running gateway: those of the file, read again when it changes."""

    def __init__(self, path: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self._rows: dict[str, GatewayKey] = {}
        self._needed = False
        """Stays true when the last key is taken away: a gateway that listens beyond this machine must not open to everybody."""
        self._seen: tuple[int, int] | None = None
        self._looked = float("-inf")
        self._allowed: dict[str, tuple[float, float]] = {}
        """Key's hash -> (requests it may send at once, when that was)."""

    @property
    def required(self) -> bool:
        """Whether a request needs a key: from the first one on, for as long as the gateway runs."""
        self._look()
        self._needed = self._needed or bool(self._rows)
        return self._needed

    def check(self, headers: Mapping[str, str]) -> str | None:
        """The name of the key that a request carries; None where none is needed. Raises BadRequest (401, 429)."""
        row = self._row(headers)
        if row is None:
            return None
        if row.requests_per_minute is not None:
            self._count(row.sha256, row.requests_per_minute)
        return row.name

    def check_page(self, headers: Mapping[str, str]) -> None:
        """Raises BadRequest (401, 403) unless whoever asks may see the page, which shows what everybody asks. Looking at it does
        not count as a request."""
        row = self._row(headers)
        if row is not None and not row.page:
            raise BadRequest(
                "This key is not for the page, which shows the requests of all keys. One that is: distil serve --new-key NAME "
                "--page.",
                status=403,
                code="not_for_the_page",
            )

    def _row(self, headers: Mapping[str, str]) -> GatewayKey | None:
        """The key that a request carries; None where none is needed. Raises BadRequest (401)."""
        if not self.required:
            return None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        key = given.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        row = self._rows.get(_hash(key))  # the hash is what is compared: how long that takes tells nothing about a key
        if row is None:
            said = (
                "Incorrect API key provided." if key else "You didn't provide an API key (Authorization: Bearer ...)."
            )
            raise BadRequest(said, status=401, code="invalid_api_key")
        return row

    def usd_per_day(self, name: str) -> float | None:
        """What the teacher's answers to the keys of a name may cost in a day: the newest key's limit; None = no limit."""
        self._look()
        return next((row.usd_per_day for row in reversed(self._rows.values()) if row.name == name), None)

    def _count(self, key: str, per_minute: int) -> None:
        """A bucket of a minute's requests that fills evenly."""
        at = self._clock()
        left, before = self._allowed.get(key, (float(per_minute), at))
        left = min(float(per_minute), left + (at - before) * per_minute / 60)
        if left < 1:
            self._allowed[key] = (left, at)
            error = BadRequest(
                f"This key may send {per_minute} requests a minute.", status=429, code="rate_limit_exceeded"
            )
            error.retry_after_s = max(1, round((1 - left) * 60 / per_minute))
            raise error
        self._allowed[key] = (left - 1, at)

    def _look(self) -> None:
        if self._path is None or self._clock() - self._looked < LOOK_S:
            return
        self._looked = self._clock()
        found = self._path.stat() if self._path.exists() else None
        state = None if found is None else (found.st_mtime_ns, found.st_size)
        if state != self._seen:
            self._rows = {row.sha256: row for row in read_keys(self._path)}
            self._seen = state


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
