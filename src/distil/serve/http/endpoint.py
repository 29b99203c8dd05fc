"""What every route shares: who may ask, the body, a client that leaves, and refusals in the shape of the API that was asked."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from distil.progress import say
from distil.serve.deadline import asked_deadline
from distil.serve.foreign import refuse_foreign
from distil.serve.gateway import Gateway
from distil.serve.http.replies import as_error
from distil.serve.wire import BadRequest, Caller, EngineFailed, ShuttingDown
from distil.terminal import show_exception

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

MAX_BODY = 32 << 20  # bytes
LARGE = 1 << 17
"""Bytes of a body from which reading it may take longer than others should wait."""
MOST_VALUES = 1_000_000
MOST_MESSAGES = 10_000
BODY_S = 30.0
"""How long the body of a request may take to arrive."""

Called: TypeAlias = "Callable[[Gateway, Request], Awaitable[Response]]"
T = TypeVar("T")


def endpoint(
    gateway: Gateway, called: Called, *, open_to_all: bool = False
) -> Callable[[Request], Awaitable[Response]]:
    """A route's function: it never raises. open_to_all: no API key is asked for."""
    from starlette.requests import ClientDisconnect
    from starlette.responses import Response

    async def answer(request: Request) -> Response:
        name = request.scope["request_id"]
        refuse = functools.partial(as_error, path=request.scope["path"], request_id=name)
        try:
            if request.method == "POST":
                refuse_foreign(request.headers, gateway.host)
            key = None if open_to_all else gateway.keys.check(request.headers)
            request.scope["caller"] = Caller(name, key, asked_deadline(request.headers, gateway.deadline_s))
            return await called(gateway, request)
        except ClientDisconnect:
            return Response(status_code=499)
        except BadRequest as error:
            count_error(gateway, error, name)
            return refuse(error)
        except Exception as error:
            say(f"distil serve: request {name} failed")
            show_exception(type(error), error, error.__traceback__)
            failed = BadRequest("The gateway failed; its log has the details.", status=500, code="internal_error")
            count_error(gateway, failed, name)
            return refuse(failed)

    return answer


def count_error(gateway: Gateway, error: BadRequest, name: str) -> None:
    """Counts a refusal, and says on the log what the client is not told."""
    gateway.metrics.errors.labels(status=str(error.status)).inc()
    for refused in gateway.refusals:
        refused(name, error.status, error.code)
    if isinstance(error, EngineFailed) and error.detail:
        say(f"distil serve: request {name}: {error} {error.detail}")


async def parsed(request: Request, parse: Callable[[bytes], T]) -> T:
    """The body as what `parse` makes of it. Raises BadRequest.

    Large ones are read on a thread of their own, one at a time: several would share this process with everybody else.
    """
    raw = await body(request)
    if len(raw) <= LARGE:
        return parse(raw)
    return await asyncio.get_running_loop().run_in_executor(_reader(), _parsed_large, parse, raw)


def _parsed_large(parse: Callable[[bytes], T], raw: bytes) -> T:
    """Counts before it reads: a list of millions of lists takes seconds and gigabytes. No model's context holds as much."""
    if raw.count(b",") > MOST_VALUES or raw.count(b'"role"') > MOST_MESSAGES:
        raise BadRequest(
            f"The body holds more than {MOST_VALUES:,} values or {MOST_MESSAGES:,} messages, which fits into no model's context."
        )
    return parse(raw)


@functools.cache
def _reader() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "distil-read")


async def body(request: Request) -> bytes:
    """The bytes that were sent. Raises BadRequest (408, 413) and ClientDisconnect."""
    pieces, size = [], 0
    try:
        async with asyncio.timeout(BODY_S):
            async for piece in request.stream():
                size += len(piece)
                if size > MAX_BODY:
                    raise BadRequest(f"The body is larger than {MAX_BODY >> 20} MiB.", status=413)
                pieces.append(piece)
    except TimeoutError:
        raise BadRequest(f"The body did not arrive within {BODY_S:g} s.", status=408) from None
    return b"".join(pieces)


async def unless_gone(gateway: Gateway, request: Request, work: Coroutine[object, object, Response]) -> Response:
    """The reply. When the client leaves, the work is cancelled, so that nobody pays for what nobody reads (ClientDisconnect).

    When the gateway closes before it is done: BadRequest (503).
    """
    from starlette.requests import ClientDisconnect

    task = asyncio.create_task(work)
    gone = asyncio.create_task(_gone(request))
    gateway.asking.add(task)
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        if task.cancelled():
            raise ShuttingDown
        return task.result()
    finally:
        gateway.asking.discard(task)
        gone.cancel()
        task.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue
