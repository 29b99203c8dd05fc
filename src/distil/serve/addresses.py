"""What clients are not told: where servers and files of this side are. For messages that somebody else's server wrote."""

from __future__ import annotations

import re

from distil.text import one_line

_ADDRESS = re.compile(
    r"\b[a-z][a-z0-9+.-]*://[^\s'\"<>]+"  # a URL
    r"|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?"  # an IPv4 address
    r"|\[?(?:[0-9a-f]{0,4}:){3,7}[0-9a-f]{0,4}\]?(?::\d+)?"  # an IPv6 address
    r"|\blocalhost(?::\d+)?|\b[\w-]+(?:\.[\w-]+)+:\d{2,5}\b"  # a host with its port
    r"|(?<![\w.])~?/[\w.@+-]+(?:/[\w.@+-]+)+|\b[a-z]:\\[^\s'\"]+",  # a path
    re.IGNORECASE,
)


def without_addresses(text: str, longest: int = 300) -> str:
    """One line of a foreign message, with `...` for each URL, host, address and path in it."""
    return one_line(_ADDRESS.sub("...", text), longest)
