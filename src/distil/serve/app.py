"""HTTP around a gateway: /v1/chat/completions (also as a stream), /v1/models, /healthz, /metrics. Nothing is decided here."""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING

from distil.errors import UserError
from distil.serve.gateway import Gateway
from distil.serve.metrics import CONTENT_TYPE
from distil.serve.wire import BadRequest, ChatRequest, completion, parse_request, sse, stream
from distil.terminal import show_exception

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

MAX_BODY = 32 << 20  # bytes


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

    async def models(request: Request) -> Response:
        entry = {"id": gateway.name, "object": "model", "created": started, "owned_by": "distil"}
        return _json({"object": "list", "data": [entry]})

    async def health(request: Request) -> Response:
        return _json({"status": "ok", "model": gateway.name, "fallback": gateway.policy.mode})

    async def metrics(request: Request) -> Response:
        return PlainTextResponse(gateway.metrics.text(), headers={"content-type": CONTENT_TYPE})

    async def not_found(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        return _error(BadRequest(f"{request.method} {request.url.path} is not supported.", status=status))

    return Starlette(
        routes=[
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/v1/models", models),
            Route("/healthz", health),
            Route("/metrics", metrics),
        ],
        exception_handlers={404: not_found, 405: not_found},
    )


async def _chat(gateway: Gateway, request: Request) -> Response:
    from starlette.responses import StreamingResponse

    try:
        raw = await _body(request)
        chat = parse_request(raw, served=gateway.name, temperature=gateway.temperature, max_tokens=gateway.max_tokens)
        if chat.stream and gateway.streams_through():
            return await _through(gateway, chat)
        routed = await gateway.answer(chat)
    except BadRequest as error:
        return _error(error)
    except Exception as error:
        show_exception(type(error), error, error.__traceback__)
        return _error(BadRequest("The gateway failed; its log has the details.", status=500, code="internal_error"))
    if chat.stream:
        events = stream(chat, routed.reply, gateway.fingerprint)
        return StreamingResponse(events, media_type="text/event-stream", headers=routed.headers())
    return _json(completion(chat, routed.reply, gateway.fingerprint), headers=routed.headers())


async def _body(request: Request) -> bytes:
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > MAX_BODY:
            raise BadRequest(f"The body is larger than {MAX_BODY >> 20} MiB.", status=413)
        pieces.append(piece)
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
