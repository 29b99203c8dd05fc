"""Checks in seconds whether the Hugging Face hub can be reached: its own library retries for most of a minute per file.

It only connects, to the hub or its proxy. No setting of the library is changed, so a slow download stays as patient as it is.
"""

from __future__ import annotations

import socket
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

ADDRESS_S = 3.0
"""For one of its addresses: long enough for a second try of the handshake's first packet."""
TOTAL_S = 6.0
"""For all of them."""


def endpoint() -> str:
    """The hub's URL; `HF_ENDPOINT` names another one."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def cached(ref: str, file: str) -> Path | None:
    """A file of a hub id that an earlier run has brought here; None where there is none, or `ref` is not a hub id."""
    try:
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(ref, file)
    except (ImportError, ValueError):  # without the training extra; not a hub id
        return None
    return Path(found) if isinstance(found, str) else None


def reachable(url: str) -> bool:
    """Whether something takes a connection at the host of `url`, or at the proxy that the environment names for it."""
    host, port = _first_stop(url)
    end = time.monotonic() + TOTAL_S
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return False
    for family, kind, protocol, _, address in addresses:
        remaining = end - time.monotonic()
        if remaining <= 0:
            return False
        try:
            with socket.socket(family, kind, protocol) as connection:
                connection.settimeout(min(ADDRESS_S, remaining))
                connection.connect(address)
                return True
        except OSError:
            continue
    return False


def _first_stop(url: str) -> tuple[str, int]:
    """(host, port) that the first packet goes to."""
    parts = urlsplit(url)
    proxies = urllib.request.getproxies_environment()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy and not urllib.request.proxy_bypass(parts.hostname or ""):
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return parts.hostname or "", parts.port or {"https": 443, "socks5": 1080, "socks5h": 1080}.get(parts.scheme, 80)
