"""The application around a gateway: its routes. One file for each API holds what its routes do."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from distil.errors import UserError
from distil.serve.apis.checked import no_such_model
from distil.serve.gateway import Gateway
from distil.serve.http.chat import answer_chat
from distil.serve.http.completions import answer_completions
from distil.serve.http.endpoint import Called, endpoint
from distil.serve.http.messages import answer_messages, count_tokens
from distil.serve.http.openapi import document
from distil.serve.http.replies import as_json
from distil.serve.http.request_ids import RequestIds
from distil.serve.metrics import CONTENT_TYPE
from distil.serve.page.routes import page_routes
from distil.serve.wire import BadRequest

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response


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
    from starlette.middleware import Middleware
    from starlette.routing import Route

    return Starlette(
        routes=[
            Route("/v1/chat/completions", endpoint(gateway, answer_chat), methods=["POST"]),
            Route("/v1/completions", endpoint(gateway, answer_completions), methods=["POST"]),
            Route("/v1/messages", endpoint(gateway, answer_messages), methods=["POST"]),
            Route("/v1/messages/count_tokens", endpoint(gateway, count_tokens), methods=["POST"]),
            Route("/v1/models", endpoint(gateway, _models(gateway))),
            Route("/v1/models/{id:path}", endpoint(gateway, _models(gateway))),
            Route("/openapi.json", endpoint(gateway, _document, open_to_all=True)),
            Route("/readyz", endpoint(gateway, _ready, open_to_all=True)),
            Route("/healthz", endpoint(gateway, _health, open_to_all=True)),
            Route("/metrics", endpoint(gateway, _metrics, open_to_all=True)),
            *page_routes(gateway),
        ],
        middleware=[Middleware(RequestIds)],
        exception_handlers={404: _unknown(gateway), 405: _unknown(gateway)},
    )


def _models(gateway: Gateway) -> Called:
    entry = {"id": gateway.name, "object": "model", "created": int(time.time()), "owned_by": "distil"}

    async def models(gateway: Gateway, request: Request) -> Response:
        asked = request.path_params.get("id")
        if asked is None:
            return as_json({"object": "list", "data": [entry]})
        if asked == gateway.name:
            return as_json(entry)
        raise no_such_model(asked, gateway.name)

    return models


async def _document(gateway: Gateway, request: Request) -> Response:
    return as_json(document(gateway.name))


async def _health(gateway: Gateway, request: Request) -> Response:
    return as_json({"status": "ok", "model": gateway.name, "fallback": gateway.policy.mode})


async def _ready(gateway: Gateway, request: Request) -> Response:
    able = await gateway.ready()
    state = {"status": "ready" if able else "nobody can answer"}
    if gateway.watch is not None and gateway.watch.changed is not None:
        state["student"] = f"switched off: {gateway.watch.changed}"
    return as_json(state, status=200 if able else 503)


async def _metrics(gateway: Gateway, request: Request) -> Response:
    from starlette.responses import PlainTextResponse

    return PlainTextResponse(gateway.metrics.text(), headers={"content-type": CONTENT_TYPE})


def _unknown(gateway: Gateway) -> Callable[[Request, Exception], Awaitable[Response]]:
    """What is answered to a path or a method that there is not."""

    async def refuse(gateway: Gateway, request: Request) -> Response:
        status = 404 if request.scope.get("endpoint") is None else 405
        path = request.scope["path"][:200]
        raise BadRequest(f"{request.method} {path} is not supported.", status=status)

    guarded = endpoint(gateway, refuse, open_to_all=True)

    async def handler(request: Request, error: Exception) -> Response:
        response = await guarded(request)
        response.headers.update(getattr(error, "headers", None) or {})  # Allow
        return response

    return handler
