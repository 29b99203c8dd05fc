"""Sends one HTTP POST and brings the whole reply back, or says how it broke and whether it may have been paid for.

aiohttp because it costs a third of a millisecond of CPU a request where the vendors' SDKs cost six. It knows nothing of
providers, money or retries. aiohttp is imported when the session opens.
"""

from __future__ import annotations

import os
import socket
import urllib.request
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import distil
from distil.calls.faults import FaultKind

if TYPE_CHECKING:
    import aiohttp

CONNECT_TIMEOUT_S = 30.0
SECRET_HEADERS = ("authorization", "x-api-key", "x-goog-api-key", "api-key")


class HttpReply(NamedTuple):
    """A whole reply."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Broken(Exception):
    """No whole reply came."""

    def __init__(self, kind: FaultKind, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.kind: FaultKind = kind
        self.sent = sent
        """The request may have reached the provider, so it may have been paid for."""


class Transport:
    """One session for all teachers of a client. Connections are not limited here: the gates do that."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._proxies: dict[str, str | None] = {}
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300, keepalive_timeout=30),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": f"distil/{distil.__version__}", "Accept": "application/json"},
                auto_decompress=True,
            )
        return self._session

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> HttpReply:
        """The reply, whatever its status. Raises Broken. `timeout_s` runs from here to the last byte."""
        import aiohttp

        session = self._open()
        timeout = self._timeouts.get(timeout_s)
        if timeout is None:
            timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(CONNECT_TIMEOUT_S, timeout_s))
            self._timeouts[timeout_s] = timeout
        try:
            async with session.post(
                url, data=body, headers=headers, timeout=timeout, proxy=self._proxy(url), allow_redirects=False
            ) as reply:
                return HttpReply(reply.status, reply.headers, await reply.read())
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise Broken("connection", f"no connection to {_host(url)}: {_reason(error)}", sent=False) from None
        except TimeoutError:
            raise Broken("timeout", f"no whole reply from {_host(url)} within {timeout_s:g} s", sent=True) from None
        except (aiohttp.ClientError, OSError) as error:
            message = f"the connection to {_host(url)} broke before the reply was whole: {_reason(error)}"
            raise Broken("connection", message, sent=True) from None
        except ValueError as error:
            raise Broken("garbled", f"{_host(url)} sent invalid HTTP: {_reason(error)}", sent=True) from None

    async def close(self) -> None:
        """Closes all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _proxy(self, url: str) -> str | None:
        host = _host(url)
        if host not in self._proxies:
            self._proxies[host] = proxy_for(url)
        return self._proxies[host]


def proxy_for(url: str) -> str | None:
    """The proxy that the environment sets for a URL.

    Not aiohttp's trust_env: that also reads .netrc, for every request, and could replace the header with the key.
    """
    parts = urlsplit(url)
    bypass = urllib.request.proxy_bypass(parts.hostname or "")
    return None if bypass else urllib.request.getproxies_environment().get(parts.scheme)


def secrets(headers: Mapping[str, str]) -> list[str]:
    """The keys that a request's headers carry."""
    values = (value for name, value in headers.items() if name.lower() in SECRET_HEADERS)
    return [secret for value in values if len(secret := value.removeprefix("Bearer ").strip()) >= 4]


def redact(text: str, hidden: list[str]) -> str:
    """The text without the keys."""
    for secret in hidden:
        text = text.replace(secret, "[key]")
    return text


def _host(url: str) -> str:
    return urlsplit(url).netloc


def _reason(error: BaseException) -> str:
    system = getattr(error, "os_error", None)  # aiohttp's message repeats its TLS setting and the host
    if isinstance(system, OSError) and system.errno and system.errno > 0 and not isinstance(system, socket.gaierror):
        return os.strerror(system.errno).lower()
    text = str(system or error) or type(error).__name__
    return "there is no such host" if isinstance(system, socket.gaierror) else text
