"""What a vendor's batch API looks like from here, and the plain HTTP under it.

Slow path: a few requests per batch, each retried until it works. Creating a batch is never repeated blindly. The vendors are
in openai_api.py and anthropic_api.py.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, Self, TypeVar
from urllib.parse import urljoin

from distil.calls.batch.job import BatchJob, BatchRow
from distil.calls.faults import GarbledReply
from distil.calls.http import trust
from distil.calls.http.proxies import proxy_for
from distil.calls.http.redirects import REDIRECTS, redirected, same_origin
from distil.calls.providers.base import HttpProvider
from distil.calls.providers.common import loads, read_object
from distil.calls.request import JsonObject
from distil.errors import UserError, WorkFailed

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")
TRIES = 6
MAX_WAIT_S = 60.0


class Progress(NamedTuple):
    """How far a batch is."""

    state: Literal["running", "ended", "failed"]
    """failed = refused as a whole, nothing was answered or charged."""
    done: int
    total: int
    message: str = ""
    """Why it failed."""
    too_much: bool = False
    """It failed because too many tokens are enqueued: smaller batches, or later."""


class Result(NamedTuple):
    """One row of a finished batch."""

    custom_id: str
    reply: bytes | None
    """The body that a live request would have got; None when there is no answer."""
    problem: str = ""
    """Why there is none, for a person."""
    retryable: bool = True
    """False: the same request would fail again."""
    request_id: str | None = None
    """The provider's id of this reply."""


class BatchApi(Protocol):
    """One vendor's batches for one model."""

    max_rows: int
    max_bytes: int

    def line(self, name: str, body: JsonObject) -> JsonObject:
        """One row as the vendor wants it."""

    async def submit(self, job: BatchJob, rows: Iterator[BatchRow], path: Path) -> str:
        """Creates the batch (by way of a file at `path`) and returns its id. Raises Lost when it may or may not exist now."""

    async def find(self, job: BatchJob) -> str | None:
        """The id of the batch that carries the job's intent, or None when there is none at the provider."""

    async def look(self, batch_id: str) -> Progress:
        """How far it is."""

    def results(self, batch_id: str) -> AsyncIterator[Result]:
        """The rows of an ended batch, in any order; rows that are missing were not answered."""


class Lost(Exception):
    """The reply to `create` did not come: the batch may exist, and `find` looks for it."""


class Http:
    """aiohttp with patience. Use as an async context manager."""

    def __init__(self, provider: HttpProvider, headers: dict[str, str], base_url: str) -> None:
        self._provider = provider
        self._headers = {name: value for name, value in headers.items() if name != "Content-Type"}
        self._base_url = base_url
        self._session: aiohttp.ClientSession | None = None
        self._reached = False

    async def __aenter__(self) -> Self:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=300)
        proxy, connector = proxy_for(self._base_url), aiohttp.TCPConnector(ssl=trust.context())
        self._session = aiohttp.ClientSession(timeout=timeout, proxy=proxy, connector=connector)
        return self

    async def __aexit__(self, *exception: object) -> None:
        assert self._session is not None
        await self._session.close()

    def _open(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, **content: Any
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """One request. Only the vendor's own address gets the key, and no redirect is followed by itself."""
        assert self._session is not None
        key = self._headers if same_origin(url, self._base_url) else {}
        return self._session.request(method, url, headers={**key, **(headers or {})}, allow_redirects=False, **content)

    async def get(self, path: str, **query: str) -> JsonObject:
        """JSON of a GET, repeated until it works. Raises UserError (auth, not found) or WorkFailed."""
        return await self._patiently("GET", path, _object, lambda: {"params": query})

    async def upload(self, path: str, form: Callable[[], aiohttp.FormData]) -> JsonObject:
        """JSON of a multipart POST that may be repeated without harm; `form` makes the form for each attempt."""
        return await self._patiently("POST", path, _object, lambda: {"data": form()})

    async def create(self, path: str, **content: Any) -> JsonObject:
        """JSON of a POST that must not be repeated blindly: raises Lost when its outcome is unknown."""
        import aiohttp

        try:
            async with self._open("POST", self._base_url + path, **content) as reply:
                body = await reply.read()
                status, headers = reply.status, dict(reply.headers)
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL):
            raise self._unreachable() from None
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Lost(str(error)) from error
        if status >= 500 or status == 408:
            raise Lost(f"status {status}")
        if status >= 300:
            raise self._refused(status, headers, body)
        try:
            return read_object(body)
        except GarbledReply as error:
            raise Lost(str(error)) from None

    async def rows(self, path: str) -> AsyncIterator[JsonObject]:
        """The objects of a JSONL result file. It is downloaded whole first: a cut connection must not lose or repeat rows."""
        with tempfile.TemporaryFile() as file:

            async def save(reply: aiohttp.ClientResponse) -> None:
                file.seek(0)
                file.truncate()
                async for block in reply.content.iter_chunked(1 << 18):
                    file.write(block)

            await self._patiently("GET", path, save, follow=True)
            file.seek(0)
            for line in file:
                if line.strip():
                    yield _row(line)

    async def _patiently(
        self,
        method: str,
        path: str,
        read: Callable[[aiohttp.ClientResponse], Awaitable[T]],
        content: Callable[[], JsonObject] = dict,
        *,
        follow: bool = False,
    ) -> T:
        """What `read` makes of the reply; `content`: aiohttp's arguments for the request's content, made for each attempt.

        follow: a download may lead to a signed address of a file store, which gets no key.
        """
        import aiohttp

        wait, url = 1.0, self._base_url + path
        for attempt in range(TRIES):
            last = attempt == TRIES - 1
            retry_after = None
            try:
                async with self._open(method, url, **content()) as reply:
                    self._reached = True
                    if reply.status < 300:
                        return await read(reply)
                    target = reply.headers.get("Location") if reply.status in REDIRECTS else None
                    if target and follow and not last and _as_safe(url, urljoin(url, target)):
                        url = urljoin(url, target)
                        continue
                    status, headers, body = reply.status, dict(reply.headers), await reply.read()
                fault = self._provider.fault(status, headers, body)
                if not fault.retryable or last:
                    raise self._refused(status, headers, body)
                retry_after = fault.retry_after_s
                url = self._base_url + path  # a signed address may have run out
            except (aiohttp.ClientError, TimeoutError, GarbledReply) as error:
                # Never reached so far: a wrong address or no network, not an outage to wait for.
                absent = not self._reached and attempt > 0 and isinstance(error, aiohttp.ClientConnectorError)
                if last or absent:
                    raise self._unreachable() from None
            await asyncio.sleep(min(MAX_WAIT_S, retry_after or random.uniform(0.5, 1.0) * wait))
            wait *= 2
        raise self._unreachable()

    def _refused(self, status: int, headers: dict[str, str], body: bytes) -> UserError | WorkFailed:
        if status in REDIRECTS and "Location" in headers:
            return UserError(redirected(self._base_url, headers["Location"], status))
        fault = self._provider.fault(status, headers, body)
        kind = UserError if fault.kind in ("auth", "not_found") else WorkFailed
        return kind(f"{fault.message} Batches that were created are remembered; run again to continue.")

    def _unreachable(self) -> WorkFailed:
        return WorkFailed(
            f"{self._base_url} can't be reached. Batches that were created continue there and are remembered; "
            "run again when the network is back."
        )


async def _object(reply: aiohttp.ClientResponse) -> JsonObject:
    return read_object(await reply.read())


def _as_safe(url: str, target: str) -> bool:
    """Not from https to http."""
    return target.startswith("https://") or (target.startswith("http://") and not url.startswith("https://"))


def _row(line: bytes) -> JsonObject:
    try:
        value = loads(line)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        start = line[:60].decode("utf-8", "replace")
        raise WorkFailed(
            f"A line of the batch's results is not a JSON object (it begins {start!r}). Nothing is lost; run again later."
        )
    return value
