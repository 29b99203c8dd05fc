"""HTTP around a gateway: /v1/chat/completions (also as a stream), /v1/models, /healthz, /metrics. Nothing is decided here."""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import json
import time
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING

from distil.errors import UserError
from distil.progress import say
from distil.serve.foreign import refuse_foreign
from distil.serve.gateway import Gateway
from distil.serve.metrics import CONTENT_TYPE
from distil.serve.parse import parse_request
from distil.serve.wire import BadRequest, ChatRequest, EngineFailed, completion, sse, stream
from distil.terminal import show_exception

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

MAX_BODY = 32 << 20  # bytes
LARGE = 1 << 17
"""Bytes of a body from which reading it may take longer than others should wait."""
BODY_S = 30.0
"""How long the body of a request may take to arrive."""
EVENTS_AT_ONCE = 32


def require_server() -> None:
    """Raises UserError with the line to type when a package of the extra `distil[serve]` is missing."""
    for package in ("prometheus_client", "starlette", "uvicorn"):
        if importlib.util.find_spec(package) is None:
            raise UserError(
                f"Serving needs the package {package}, which is not installed. Type: pip install 'distil[serve]'"
            )


def make_app(gateway: Gateway) -> Starlette:
    """The ASGI application of a started gateway."""
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    started = int(time.time())

    async def chat(request: Request) -> Response:
        return await _chat(gateway, request)

    entry = {"id": gateway.name, "object": "model", "created": started, "owned_by": "distil"}

    async def models(request: Request) -> Response:
        gateway.keys.check(request.headers)
        return _json({"object": "list", "data": [entry]})

    async def model(request: Request) -> Response:
        gateway.keys.check(request.headers)
        asked = request.path_params["id"]
        if asked == gateway.name:
            return _json(entry)
        message = f"The model {asked[:200]!r} does not exist here. Served: {gateway.name}."
        return _error(BadRequest(message, param="model", code="model_not_found", status=404))

    async def health(request: Request) -> Response:
        return _json({"status": "ok", "model": gateway.name, "fallback": gateway.policy.mode})

    async def ready(request: Request) -> Response:
        able = await gateway.ready()
        return _json({"status": "ready" if able else "nobody can answer"}, status=200 if able else 503)

    async def metrics(request: Request) -> Response:
        return PlainTextResponse(gateway.metrics.text(), headers={"content-type": CONTENT_TYPE})

    async def not_found(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        return _error(BadRequest(f"{request.method} {request.url.path} is not supported.", status=status))

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, BadRequest)
        gateway.metrics.errors.labels(status=str(error.status)).inc()
        if isinstance(error, EngineFailed) and error.detail:
            say(f"distil serve: {error} {error.detail}")
        return _error(error)

    return Starlette(
        routes=[
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/v1/models", models),
            Route("/v1/models/{id:path}", model),
            Route("/readyz", ready),
            Route("/healthz", health),
            Route("/metrics", metrics),
        ],
        exception_handlers={404: not_found, 405: not_found, BadRequest: refused},
    )


async def _chat(gateway: Gateway, request: Request) -> Response:
    from starlette.requests import ClientDisconnect
    from starlette.responses import Response

    try:
        refuse_foreign(request.headers, gateway.host)
        gateway.keys.check(request.headers)
        raw = await _body(request)
        chat = await _parsed(gateway, raw)
        reply = await _unless_gone(request, _answer(gateway, chat))
        return Response(status_code=499) if reply is None else reply
    except ClientDisconnect:
        return Response(status_code=499)
    except BadRequest:
        raise  # answered by the application, as that of any other route
    except Exception as error:
        gateway.metrics.errors.labels(status="500").inc()
        show_exception(type(error), error, error.__traceback__)
        return _error(BadRequest("The gateway failed; its log has the details.", status=500, code="internal_error"))


async def _parsed(gateway: Gateway, raw: bytes) -> ChatRequest:
    """Large bodies are read on another thread, so that nobody else waits meanwhile."""
    read = functools.partial(
        parse_request, raw, served=gateway.name, temperature=gateway.temperature, max_tokens=gateway.max_tokens
    )
    return await asyncio.to_thread(read) if len(raw) > LARGE else read()


async def _answer(gateway: Gateway, chat: ChatRequest) -> Response:
    from starlette.responses import StreamingResponse

    if chat.stream and gateway.streams_through(chat):
        return await _through(gateway, chat)
    served = await gateway.answer(chat)
    if chat.stream:
        events = stream(chat, served.reply, gateway.fingerprint)
        return StreamingResponse(_as_it_is(events), media_type="text/event-stream", headers=served.headers())
    return _json(completion(chat, served.reply, gateway.fingerprint), headers=served.headers())


async def _as_it_is(events: Iterable[bytes]) -> AsyncIterator[bytes]:
    """A finished answer in a few writes: one for each word would cost 40 times the processor of a plain reply."""
    rest = iter(events)
    while some := b"".join(islice(rest, EVENTS_AT_ONCE)):
        yield some


async def _unless_gone(request: Request, work: Coroutine[object, object, Response]) -> Response | None:
    """The reply, or None when the client has left: then the work is cancelled, so that nobody pays for what nobody reads."""
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            return None
        return task.result()
    finally:
        gone.cancel()
        task.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue


async def _body(request: Request) -> bytes:
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


async def _through(gateway: Gateway, chat: ChatRequest) -> Response:
    """Passes a stream on. Awaits the first chunk before replying, so that a refusal still has its own HTTP status."""
    from starlette.responses import StreamingResponse

    chunks = gateway.stream(chat)
    first = await anext(chunks, b"")

    async def all_chunks() -> AsyncIterator[bytes]:
        yield first
        try:
            async for chunk in chunks:
                yield chunk
        except BadRequest as error:
            gateway.metrics.errors.labels(status=str(error.status)).inc()
            # the status line is already sent; without [DONE] a client sees that the stream broke
            yield sse(error.body())

    headers = {"x-distil-answered-by": "student", "x-distil-reason": "fallback_off"}
    return StreamingResponse(all_chunks(), media_type="text/event-stream", headers=headers)


def _json(value: Mapping[str, object], *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    from starlette.responses import Response

    content = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return Response(content, status_code=status, media_type="application/json", headers=headers)


def _error(error: BadRequest) -> Response:
    headers = {} if error.retry_after_s is None else {"retry-after": str(error.retry_after_s)}
    return _json(error.body(), status=error.status, headers=headers)
