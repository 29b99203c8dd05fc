"""Which proxy the environment sets for an address (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY). Its password is in no message.

Not aiohttp's trust_env: that also reads .netrc, for every request, and could replace the header with the key.
"""

from __future__ import annotations

import ipaddress
import re
import urllib.request
from urllib.parse import SplitResult, urlsplit

from distil.errors import UserError

_CREDENTIALS = re.compile(r"(//)[^/@\s'\"]+@")


def proxy_for(url: str) -> str | None:
    """The proxy for a URL; None: straight. Raises UserError for one that can't be used (SOCKS, no host)."""
    parts = urlsplit(url)
    known = urllib.request.getproxies_environment()
    name = parts.scheme if known.get(parts.scheme) else "all"
    proxy = known.get(name, "").strip()
    if not proxy or bypassed(parts, known.get("no", "")):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    variable = f"{name.upper()}_PROXY"
    try:
        found = urlsplit(proxy)
        usable = bool(found.hostname) and found.port is not False
    except ValueError:
        found, usable = SplitResult("", "", "", "", ""), False
    if found.scheme.startswith("socks"):
        raise UserError(
            f"{variable} names a SOCKS proxy ({without_credentials(proxy)}), which Distil does not speak. Name an HTTP proxy "
            f"(http://HOST:PORT) there, or leave it out for this address: export NO_PROXY={parts.hostname}"
        )
    if found.scheme not in ("http", "https") or not usable:
        raise UserError(
            f"{variable} is {without_credentials(proxy)!r}, which is not the address of a proxy. Expected http://HOST:PORT."
        )
    return proxy


def bypassed(parts: SplitResult, patterns: str) -> bool:
    """Whether NO_PROXY lists this host: `*`, a name and all below it, host:port, an address, or a network such as 10.0.0.0/8."""
    host, port = (parts.hostname or "").lower(), parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    for pattern in (part.strip().lower() for part in re.split(r"[,\s]+", patterns)):
        if not pattern:
            continue
        if pattern == "*" or _in_network(host, pattern):
            return True
        name, _, number = pattern.rpartition(":")
        if name and number.isdigit() and ":" not in name.strip("[]"):
            if int(number) != port:
                continue
            pattern = name
        pattern = pattern.strip("[]").removeprefix("*").lstrip(".")
        if host == pattern or host.endswith(f".{pattern}"):
            return True
    return False


def _in_network(host: str, pattern: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(pattern.strip("[]"), strict=False)
    except ValueError:
        return False


def without_credentials(text: str) -> str:
    """A text without the user names and passwords of the addresses in it."""
    return _CREDENTIALS.sub(r"\1", text)
