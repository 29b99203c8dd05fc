"""Refuses requests that a web page made: a browser lets any page send to this machine, and the teacher's answers cost money.

A gateway on a loopback address answers to loopback names only, so that no name elsewhere that points here works either. No
replacement for API keys where others can reach the gateway.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from distil.serve.wire import BadRequest

OF_FORMS = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data")
"""Content types that any page may send without asking first (the CORS-safelisted ones of the Fetch standard)."""


def refuse_foreign(headers: Mapping[str, str], listening: str | None) -> None:
    """Raises BadRequest (403, 415). listening: the address that the gateway listens on; None = not known: any name is taken."""
    host = headers.get("host", "")
    if listening is not None and is_loopback(listening) and host and not is_loopback(_name(host)):
        raise BadRequest("This gateway answers only under a name of this machine.", status=403, code="foreign_host")
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != host:
        raise BadRequest("Requests of web pages from elsewhere are refused.", status=403, code="foreign_origin")
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in OF_FORMS:
        raise BadRequest(
            f"The content type is {kind}, expected application/json (curl: -H 'content-type: application/json').",
            status=415,
            code="content_type",
        )


def is_loopback(name: str) -> bool:
    """Whether an address or a name means this machine alone."""
    if name.lower().rstrip(".") == "localhost" or name.lower().endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _name(host: str) -> str:
    """`[::1]:8000` -> `::1`."""
    return urlsplit(f"//{host}").hostname or ""
