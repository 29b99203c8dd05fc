"""Replies as JSON, and errors in the shape of the API that was asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING

from distil.serve.wire import BadRequest, JsonObject, compact_json, wire_bytes

if TYPE_CHECKING:
    from starlette.responses import Response

ANTHROPIC = "/v1/messages"
"""Paths from here on are asked, and answered, in Anthropic's shapes."""
EVENTS_AT_ONCE = 32
_ANTHROPIC_KINDS = {
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error",
    404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error", 503: "overloaded_error",
    504: "timeout_error", 529: "overloaded_error",
}  # fmt: skip
"""https://docs.anthropic.com/en/api/errors, and the types of its SDK."""


def as_json(value: Mapping[str, object], *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON reply."""
    from starlette.responses import Response

    return Response(wire_bytes(compact_json(value)), status_code=status, media_type="application/json", headers=headers)


def as_stream(events: Iterable[bytes], *, headers: Mapping[str, str]) -> Response:
    """A finished answer as server-sent events, in a few writes: one for each event would cost many times a plain reply."""
    from starlette.responses import StreamingResponse

    return StreamingResponse(_in_few_writes(events), media_type="text/event-stream", headers=headers)


async def _in_few_writes(events: Iterable[bytes]) -> AsyncIterator[bytes]:
    rest = iter(events)
    while some := b"".join(islice(rest, EVENTS_AT_ONCE)):
        yield some


def error_body(error: BadRequest, *, path: str, request_id: str) -> JsonObject:
    """The JSON body of a refusal, also the last event of a stream that broke."""
    if not path.startswith(ANTHROPIC):
        return error.body() | {"request_id": request_id}
    kind = _ANTHROPIC_KINDS.get(error.status) or ("api_error" if error.status >= 500 else "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": str(error)}, "request_id": request_id}


def as_error(error: BadRequest, *, path: str, request_id: str) -> Response:
    """A refusal with its status and, where a client may come back, when."""
    headers = {} if error.retry_after_s is None else {"retry-after": str(error.retry_after_s)}
    return as_json(error_body(error, path=path, request_id=request_id), status=error.status, headers=headers)
