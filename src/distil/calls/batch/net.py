"""The plain HTTP under batches and fine-tuning jobs: few requests, each repeated until it works, and none that carries a key
elsewhere.

Slow path. Creating a batch or a job is never repeated blindly. Not for live requests (calls/http).
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, Self, TypeVar
from urllib.parse import urljoin, urlsplit

from distil.calls.batch.api import Gone, Lost
from distil.calls.faults import Fault, GarbledReply
from distil.calls.http import trust
from distil.calls.http.proxies import proxy_for, without_credentials
from distil.calls.http.redirects import REDIRECTS, redirected, same_origin
from distil.calls.providers.common import error_object, loads, read_object, shorten
from distil.calls.request import JsonObject
from distil.errors import UserError, WorkFailed

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")
TRIES = 6
MAX_WAIT_S = 60.0
MAX_HOPS = 5
MAX_LINE = 64 << 20
"""Bytes of one line of results; no answer is longer."""
BATCHES = "Batches that were created"


class Caller(Protocol):
    """Whose requests these are."""

    base_url: str

    def headers(self) -> dict[str, str]:
        """Those of every request, with the key."""

    def fault(self, status: int, headers: Mapping[str, str], body: bytes) -> Fault:
        """What a refusal means."""


class Exists(Exception):
    """What was to be created is there already (409)."""


class Http:
    """aiohttp with patience. Use as an async context manager. tries: of one request; 1 for a look that may fail.

    kept: what goes on at the provider whatever happens here, for the messages.
    """

    def __init__(self, provider: Caller, *, tries: int = TRIES, kept: str = BATCHES) -> None:
        self._provider = provider
        self._kept = kept
        self._keys = {name: value for name, value in provider.headers().items() if name != "Content-Type"}
        self._base_url = provider.base_url
        self._tries = tries
        self._session: aiohttp.ClientSession | None = None
        self._reached = False

    async def __aenter__(self) -> Self:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=300)
        self._session = aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(ssl=trust.context()))
        return self

    async def __aexit__(self, *exception: object) -> None:
        assert self._session is not None
        await self._session.close()

    async def get(self, path: str, **query: str) -> JsonObject:
        """JSON of a GET, repeated until it works. Raises Gone (404), UserError (auth) or WorkFailed."""
        return await self._patiently("GET", path, _object, lambda: {"params": query})

    async def listing(self, path: str, **query: str) -> JsonObject:
        """The same for a list; one that comes bare is under `data`."""
        return await self._patiently("GET", path, _listing, lambda: {"params": query}, gone=False)

    async def upload(self, path: str, form: Callable[[], aiohttp.FormData]) -> JsonObject:
        """JSON of a multipart POST that may be repeated without harm; `form` makes the form for each attempt."""
        return await self._patiently("POST", path, _object, lambda: {"data": form()}, gone=False)

    async def post(self, path: str, read: Callable[[aiohttp.ClientResponse], Awaitable[T]], **content: Any) -> T:
        """What `read` makes of the reply to a POST that may be repeated without harm."""
        return await self._patiently("POST", path, read, lambda: content, gone=False)

    async def ask_json(self, path: str, body: JsonObject) -> JsonObject:
        """JSON of the reply to a POST of JSON that may be repeated without harm, such as a question for a price. Raises Gone."""
        return await self._patiently("POST", path, _object, lambda: {"json": body})

    async def send_file(self, url: str, path: Path) -> JsonObject:
        """JSON of the reply to a file that is sent to an address which the provider gave; without the key on another server."""

        def content() -> JsonObject:
            # aiohttp streams an open file and closes it when it is sent.
            return {
                "data": path.open("rb"),
                "headers": {"X-Goog-Upload-Offset": "0", "X-Goog-Upload-Command": "upload, finalize"},
            }

        return await self._patiently("POST", url, _object, content, gone=False)

    async def ask(self, path: str, **query: str) -> None:
        """A POST without content that may be repeated, such as one that cancels. Raises Gone, UserError, WorkFailed."""
        await self._patiently("POST", path, _nothing, lambda: {"params": query})

    async def create(
        self, path: str, content: Callable[[], JsonObject] | None = None, *, exists: bool = False, **fixed: Any
    ) -> JsonObject:
        """JSON of a POST that must not be repeated blindly: raises Lost when its outcome is unknown.

        content: makes what can be sent only once, such as an open file. exists: a 409 raises Exists. Only a refusal for coming
        too fast is sent again, because nothing was created then.
        """
        import aiohttp

        url = self._base_url + path
        for attempt in range(self._tries):
            try:
                async with self._send("POST", url, **(content() if content else {}), **fixed) as reply:
                    body = await reply.read()
                    status, headers = reply.status, dict(reply.headers)
            except (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError, aiohttp.InvalidURL):
                raise self._unreachable() from None
            except (aiohttp.ClientError, TimeoutError) as error:
                raise Lost(without_credentials(str(error))) from error
            fault = self._provider.fault(status, headers, body) if status == 429 else None
            if fault is None or not fault.retryable or attempt == self._tries - 1:
                break
            await asyncio.sleep(min(MAX_WAIT_S, fault.retry_after_s or random.uniform(0.5, 1.0) * 2**attempt))
        if status >= 500 or status == 408:
            raise Lost(f"status {status}")
        if exists and status == 409:
            raise Exists(said(body))
        if status >= 300:
            raise self._refused(url, status, headers, body, gone=False)
        try:
            return read_object(body)
        except GarbledReply as error:
            raise Lost(str(error)) from None

    async def rows(self, path: str) -> AsyncIterator[JsonObject | bytes]:
        """The objects of a JSONL result file, and as bytes the lines that are none.

        It is downloaded whole first: a cut connection must not lose or repeat rows. Raises Gone; WorkFailed for a page that is
        not the results.
        """
        with tempfile.TemporaryFile() as file:

            async def save(reply: aiohttp.ClientResponse) -> None:
                file.seek(0)
                file.truncate()
                async for block in reply.content.iter_chunked(1 << 18):
                    file.write(block)

            await self._patiently("GET", path, save, follow=True)
            file.seek(0)
            if file.read(1 << 10).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
                raise WorkFailed(
                    f"{urlsplit(self._base_url).netloc} sent a web page in place of the batch's results. Nothing is lost: run "
                    "again later. `distil batches` lists the batch, and `distil batches forget ID` lets it go."
                )
            file.seek(0)
            while line := file.readline(MAX_LINE):
                if line.endswith(b"\n") or len(line) < MAX_LINE:
                    if line.strip():
                        yield _row(line)
                else:
                    _skip_line(file)
                    yield line[:1000]

    async def _patiently(
        self,
        method: str,
        path: str,
        read: Callable[[aiohttp.ClientResponse], Awaitable[T]],
        content: Callable[[], JsonObject] = dict,
        *,
        gone: bool = True,
        follow: bool = False,
    ) -> T:
        """What `read` makes of the reply; `content`: aiohttp's arguments for the request's content, made for each attempt.

        gone: a 404 says that this very batch or file is no longer there. follow: a download may lead to a signed address of a
        file store, which gets no key.
        """
        import aiohttp

        wait = 1.0
        for attempt in range(self._tries):
            last = attempt == self._tries - 1
            retry_after = None
            try:
                url, hops = path if path.startswith(("https://", "http://")) else self._base_url + path, 0
                while True:
                    async with self._send(method, url, **(content() if hops == 0 else {})) as reply:
                        self._reached = True
                        if reply.status < 300:
                            return await read(reply)
                        status, headers, body = reply.status, dict(reply.headers), await reply.read()
                    onward = _onward(url, status, headers) if follow and hops < MAX_HOPS else None
                    if onward is None:
                        break
                    url, hops = onward, hops + 1
                fault = self._provider.fault(status, headers, body)
                if not fault.retryable or last or status in REDIRECTS:
                    raise self._refused(url, status, headers, body, gone=gone)
                retry_after = fault.retry_after_s
            except (aiohttp.ClientError, TimeoutError, GarbledReply) as error:
                # Never reached so far: a wrong address or no network, not an outage to wait for.
                absent = not self._reached and attempt > 0 and isinstance(error, aiohttp.ClientConnectorError)
                if last or absent:
                    raise self._unreachable() from None
            await asyncio.sleep(min(MAX_WAIT_S, retry_after or random.uniform(0.5, 1.0) * wait))
            wait *= 2
        raise self._unreachable()

    def _send(self, method: str, url: str, **content: Any) -> Any:
        """One request; the key goes only to the provider's own address."""
        assert self._session is not None
        headers = dict(content.pop("headers", {}))
        if same_origin(url, self._base_url):
            headers = self._keys | headers
        return self._session.request(
            method, url, headers=headers, proxy=proxy_for(url), allow_redirects=False, **content
        )

    def _refused(
        self, url: str, status: int, headers: dict[str, str], body: bytes, *, gone: bool
    ) -> UserError | WorkFailed | Gone:
        location = {name.lower(): value for name, value in headers.items()}.get("location", "")
        if status in REDIRECTS:
            return UserError(f"{redirected(url, location, status)} {self._kept} are remembered.")
        fault = self._provider.fault(status, headers, body)
        if gone and status in (404, 410) and error_object(body):  # a proxy's page says nothing about the batch
            return Gone(shorten(said(body) or f"status {status}", None))
        kind = UserError if fault.kind in ("auth", "not_found") else WorkFailed
        return kind(f"{fault.message} {self._kept} are remembered; run again to continue.")

    def _unreachable(self) -> WorkFailed:
        return WorkFailed(
            f"{self._base_url} can't be reached. {self._kept} continue there and are remembered; "
            "run again when the network is back."
        )


def _onward(url: str, status: int, headers: dict[str, str]) -> str | None:
    """Where a download goes on: files are often kept on another server. Not from https to http."""
    location = {name.lower(): value for name, value in headers.items()}.get("location")
    if status not in REDIRECTS or not location:
        return None
    target = urljoin(url, location)
    safe = target.startswith("https://") or (target.startswith("http://") and not url.startswith("https://"))
    return target if safe else None


def said(body: bytes) -> str:
    """The message of an error body, in any of the vendors' shapes."""
    found = error_object(body)
    inner = found.get("error", found.get("detail", found))
    text = inner.get("message") if isinstance(inner, dict) else inner
    return text if isinstance(text, str) else ""


async def _object(reply: aiohttp.ClientResponse) -> JsonObject:
    return read_object(await reply.read())


async def _nothing(reply: aiohttp.ClientResponse) -> None:
    await reply.read()


async def _listing(reply: aiohttp.ClientResponse) -> JsonObject:
    body = await reply.read()
    if body.lstrip()[:1] != b"[":
        return read_object(body)
    try:
        return {"data": loads(body)}
    except (ValueError, RecursionError):
        raise GarbledReply("the reply is not JSON") from None


def _row(line: bytes) -> JsonObject | bytes:
    try:
        value = loads(line)
    except (ValueError, RecursionError):
        return line
    return value if isinstance(value, dict) else line


def _skip_line(file: IO[bytes]) -> None:
    while (rest := file.readline(MAX_LINE)) and not rest.endswith(b"\n"):
        pass
