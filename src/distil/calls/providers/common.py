"""What the HTTP providers share: reading JSON bodies, headers and durations, and sorting faults by status.

Not a base class, not a wire format.
"""

from __future__ import annotations

import contextlib
import functools
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from distil.calls.faults import Fault, FaultKind, GarbledReply
from distil.calls.keys import hide
from distil.calls.providers.base import LimitHint, Unit, Window
from distil.calls.request import JsonObject
from distil.secrets import hide_secrets
from distil.text import load_json, visible

MAX_MESSAGE = 400
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_CHARSET = re.compile(r"charset=[\"']?([\w.:-]+)", re.IGNORECASE)
_TEXT_FIELDS = ("text", "thinking", "summary", "content", "reasoning", "reasoning_content", "message")


def read_object(body: bytes) -> JsonObject:
    """The JSON object in a 2xx body. Raises GarbledReply on anything else (HTML of a proxy, half a body, a list)."""
    try:
        value = loads(body)
    except (ValueError, RecursionError):
        if not body.strip():
            raise GarbledReply("the reply is blank") from None
        if body.lstrip().startswith((b"data:", b"event:")):
            message = "the server streams its reply, although it was not asked to"
            raise GarbledReply(message, fault=Fault("garbled", message, most=2)) from None
        raise GarbledReply(f"the reply is not JSON: it begins with {body[:60].decode('utf-8', 'replace')!r}") from None
    if not isinstance(value, dict):
        raise GarbledReply(f"the reply is a JSON {type(value).__name__}, not an object")
    return value


def error_object(body: bytes) -> JsonObject:
    """The JSON object of an error body, or {}: errors of proxies are often HTML or empty."""
    try:
        value = loads(body)
    except (ValueError, RecursionError):
        return {}
    if isinstance(value, list) and value and isinstance(value[0], dict):  # Google streams wrap errors in a list
        value = value[0]
    return value if isinstance(value, dict) else {}


def loads(body: bytes | str) -> Any:
    """load_json that no reply can trip: bytes that are not UTF-8 are replaced, too."""
    try:
        return load_json(body)
    except UnicodeDecodeError:
        assert isinstance(body, bytes)
        return load_json(body.decode("utf-8-sig", "replace"))


def as_utf8(body: bytes, headers: Mapping[str, str]) -> bytes:
    """The body in UTF-8, where it is not and its headers name another encoding: the ledger keeps it without its headers."""
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        named = _CHARSET.search(lowered(headers).get("content-type", ""))
        if named is not None:
            with contextlib.suppress(LookupError, UnicodeDecodeError):
                return body.decode(named[1]).encode("utf-8")
    return body


def shorten(text: str, key: str | None) -> str:
    """A provider's message, shortened and visible, without the key or anything that looks like one."""
    clean = hide_secrets(" ".join(visible(hide(text, [key])).split()))
    return clean if len(clean) <= MAX_MESSAGE else clean[: MAX_MESSAGE - 3] + "..."


def by_status(status: int) -> tuple[FaultKind, bool]:
    """(kind, retryable) that an HTTP status means when the body says nothing better."""
    known: dict[int, tuple[FaultKind, bool]] = {
        401: ("auth", False),
        402: ("quota", False),
        403: ("auth", False),
        404: ("not_found", False),
        408: ("timeout", True),
        409: ("server", True),
        424: ("server", True),  # TGI: failed while it generated
        425: ("server", True),
        429: ("rate_limit", True),
        451: ("filtered", False),
        498: ("shed", True),  # Groq's flex tier is full
        503: ("overload", True),
        529: ("overload", True),  # Anthropic
    }
    if status in known:
        return known[status]
    if status >= 500:
        return "server", True
    if status < 300:
        return "garbled", True
    return "bad_request", False


def lowered(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers with lower-case names."""
    return {name.lower(): value for name, value in headers.items()}


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that a reply asks us to wait: `retry-after-ms`, or `retry-after` in seconds or as an HTTP date."""
    low = lowered(headers)
    milliseconds = _number(low.get("retry-after-ms"))
    if milliseconds is not None:
        return max(0.0, milliseconds / 1000)
    value = low.get("retry-after")
    seconds = _number(value)
    if seconds is not None:
        return max(0.0, seconds)
    if not value:
        return None
    try:
        when = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    return _until(when)


def duration_s(value: str | None) -> float | None:
    """Seconds of `6m0s`, `20ms`, `1.5s`, `59` or an RFC 3339 time; None where it says nothing."""
    if not value:
        return None
    plain = _number(value)
    if plain is not None:
        return max(0.0, plain)
    parts = _DURATION_PART.findall(value)
    if parts and "".join(number + unit for number, unit in parts) == value:
        return sum(float(number) * _UNIT_S[unit] for number, unit in parts)
    try:
        return _until(datetime.fromisoformat(value))
    except ValueError:
        return None


def read_limits(headers: Mapping[str, str], names: Mapping[Unit, str]) -> LimitHint:
    """The announced limits. headers: with lower-case names; names: header per unit, `{}` for limit, remaining or reset."""
    hint: dict[Unit, Window] = {}
    for unit, pattern in names.items():
        values = [headers.get(name) for name in _header_names(pattern)]
        if not any(values):
            continue
        limit, remaining = _number(values[0]), _number(values[1])
        window = Window(  # Azure sends -1 for `unknown`; 0 remaining is a real answer, a limit of 0 is not
            int(limit) if limit is not None and limit > 0 else None,
            int(remaining) if remaining is not None and remaining >= 0 else None,
            duration_s(values[2]),
        )
        if window != Window():
            hint[unit] = window
    return hint


@functools.cache
def _header_names(pattern: str) -> tuple[str, ...]:
    return tuple(pattern.format(part) for part in ("limit", "remaining", "reset"))


def words(value: object) -> str:
    """The text in what providers make of one: a string, a list of parts, an object with it under one of several names."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(part for part in map(words, value) if part)
    if isinstance(value, dict):
        return next((found for name in _TEXT_FIELDS if (found := words(value.get(name)))), "")
    return ""


def mapping(value: object) -> JsonObject:
    """The value where it is a JSON object, else an empty one: any part of a reply may be missing, null or something else."""
    return value if isinstance(value, dict) else {}


def first_choice(choices: object) -> JsonObject | None:
    """The choice or candidate with index 0, whatever their order; the first one where none has it."""
    found = [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []
    return next((choice for choice in found if choice.get("index") == 0), found[0] if found else None)


def _number(value: str | None) -> float | None:
    try:
        number = float(value) if value else None
    except ValueError:
        return None
    return number if number is not None and math.isfinite(number) else None


def _until(when: datetime) -> float:
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
