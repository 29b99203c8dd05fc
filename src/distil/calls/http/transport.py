"""Sends one HTTP POST and brings the whole reply back, or says how it broke and whether it may have been paid for.

aiohttp because it costs a third of a millisecond of CPU a request where the vendors' SDKs cost six. It knows nothing of
providers, money or retries. aiohttp is imported when the session opens.
"""

from __future__ import annotations

import functools
import os
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import distil
from distil.calls.faults import FaultKind
from distil.calls.http import trust
from distil.calls.http.body import ENCODINGS, TooLarge, whole_body
from distil.calls.http.proxies import proxy_for, without_credentials

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL

CONNECT_TIMEOUT_S = 30.0
FIRST_CONNECT_S = 5.0
REACHED = 3  # doublings after which a connection gets its full time
HEADERS = {
    "User-Agent": f"distil/{distil.__version__}",
    "Accept": "application/json",
    "Accept-Encoding": ENCODINGS,
}
MAX_HEADER = 1 << 16
"""Bytes of one header: gateways send policies and traces that are longer than aiohttp's 8,190."""


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
        self._timeouts: dict[tuple[float, float], aiohttp.ClientTimeout] = {}
        self._late: dict[str, int] = {}
        """Host -> how many connections to it failed before it ever replied, at most REACHED."""
        self._plain: set[str] = set()
        """Hosts of https addresses that were seen to answer without TLS."""

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300, keepalive_timeout=30, ssl=trust.context()),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=HEADERS,
                auto_decompress=False,
                max_line_size=MAX_HEADER,
                max_field_size=MAX_HEADER,
            )
        return self._session

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> HttpReply:
        """The reply, whatever its status. Raises Broken. `timeout_s` runs from here to the last byte."""
        import aiohttp

        session = self._open()
        timeout = self._timeout(url, timeout_s)
        try:
            async with session.post(
                _as_written(url),
                data=body,
                headers=headers,
                timeout=timeout,
                proxy=self.route(url),
                allow_redirects=False,
            ) as reply:
                self._late[_host(url)] = REACHED
                self._plain.discard(_host(url))
                return HttpReply(reply.status, reply.headers, await whole_body(reply))
        except TooLarge as error:
            raise Broken("garbled", f"{_host(url)} sent {error}", sent=True) from None
        except (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError) as error:
            raise Broken("connection", _about_proxy(error, self.route(url) or "", _host(url)), sent=False) from None
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise Broken("connection", await self._unconnected(url, error), sent=False) from None
        except TimeoutError:
            raise Broken("timeout", f"no whole reply from {_host(url)} within {timeout_s:g} s", sent=True) from None
        except (aiohttp.ClientError, OSError) as error:
            message = f"the connection to {_host(url)} broke before the reply was whole: {_reason(error, _host(url))}"
            raise Broken("connection", message, sent=True) from None
        except ValueError as error:
            raise Broken(
                "garbled", f"{_host(url)} sent invalid HTTP: {_reason(error, _host(url))}", sent=True
            ) from None

    def _timeout(self, url: str, timeout_s: float) -> aiohttp.ClientTimeout:
        """The first connections to a host may take less time, so that a server without TLS is soon found out."""
        import aiohttp

        connect_s = min(CONNECT_TIMEOUT_S, FIRST_CONNECT_S * 2.0 ** self._late.get(_host(url), 0), timeout_s)
        timeout = self._timeouts.get((timeout_s, connect_s))
        if timeout is None:
            timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=connect_s)
            self._timeouts[timeout_s, connect_s] = timeout
        return timeout

    async def _unconnected(self, url: str, error: BaseException) -> str:
        """Why no connection came about. Looks once more without TLS where a handshake with a new host failed."""
        parts, host = urlsplit(url), _host(url)
        known = self._late.get(host, 0)
        self._late[host] = min(known + 1, REACHED)
        reason = _reason(error, host)
        direct = parts.scheme == "https" and self.route(url) is None and trust.explain(error, host) is None
        if direct and known < REACHED and await trust.answers_plainly(parts.hostname or "", parts.port or 443):
            self._plain.add(host)
        if direct and host in self._plain:
            reason = trust.plain(host)
        return f"no connection to {host}: {reason}"

    async def close(self) -> None:
        """Closes all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def route(self, url: str) -> str | None:
        """The proxy on the way to a URL. Raises UserError when the environment sets one, or certificates, that can't be used."""
        host = _host(url)
        if host not in self._proxies:
            self._proxies[host] = proxy_for(url)
            trust.context()
        return self._proxies[host]


def _about_proxy(error: aiohttp.ClientError, proxy: str, host: str) -> str:
    """Without the user name and password in its address."""
    status = getattr(error, "status", None)
    if not status:
        return (
            f"no connection to the proxy {_host(proxy)}, which the environment sets for {host}: {_reason(error, host)}"
        )
    reason = "it wants a user name and a password" if status == 407 else f"it answered {status}"
    return f"the proxy {_host(proxy)}, which the environment sets for {host}, lets nothing through: {reason}"


@functools.lru_cache(maxsize=1024)
def _as_written(url: str) -> URL:
    """Without a second encoding of what is encoded already, of which a signature was made: `%3A` would become `:`."""
    from yarl import URL

    return URL(url, encoded="%" in url)


@functools.lru_cache(maxsize=1024)
def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def _reason(error: BaseException, host: str) -> str:
    if (handshake := trust.explain(error, host)) is not None:
        return handshake
    system = getattr(error, "os_error", None)  # aiohttp's message repeats its TLS setting and the host
    if isinstance(system, OSError) and system.errno and system.errno > 0 and not isinstance(system, socket.gaierror):
        return os.strerror(system.errno).lower()
    text = str(system or error) or type(error).__name__
    return "there is no such host" if isinstance(system, socket.gaierror) else without_credentials(text)
