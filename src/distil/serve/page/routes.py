"""The page's routes: the document, what it shows as JSON, and a person's marks. For this origin only, and never cached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from distil.errors import DistilError
from distil.serve.foreign import refuse_foreign
from distil.serve.gateway import Gateway
from distil.serve.http.endpoint import body, endpoint
from distil.serve.http.replies import as_json
from distil.serve.page.board import Board
from distil.serve.page.document import render
from distil.serve.wire import BadRequest
from distil.text import load_json

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
WORDS: Mapping[object, Literal["good", "bad", "none"]] = {"good": "good", "bad": "bad", "none": "none"}


def page_routes(gateway: Gateway) -> list[Route]:
    """None for a gateway without a board."""
    from starlette.routing import Route

    if gateway.board is None:
        return []
    return [
        Route("/", endpoint(gateway, _page, open_to_all=True)),
        Route("/live.json", endpoint(gateway, _live, open_to_all=True)),
        Route("/live/marks", endpoint(gateway, _mark, open_to_all=True), methods=["POST"]),
    ]


async def _page(gateway: Gateway, request: Request) -> Response:
    from starlette.responses import HTMLResponse

    refuse_foreign(request.headers, gateway.host)
    html, policy = render(gateway.name)
    return HTMLResponse(html, headers=HEADERS | {"content-security-policy": policy})


async def _live(gateway: Gateway, request: Request) -> Response:
    board = _allowed(gateway, request)
    after = request.query_params.get("after", "0")
    if not (after.isascii() and after.isdigit() and len(after) < 16):
        raise BadRequest("`after` is the number of the last fallback that is known.", param="after")
    return as_json(board.state(int(after)), headers=HEADERS)


async def _mark(gateway: Gateway, request: Request) -> Response:
    board = _allowed(gateway, request)
    try:
        asked = load_json((await body(request)).decode())
    except (ValueError, RecursionError):
        raise BadRequest("The body is not JSON.") from None
    if not isinstance(asked, dict) or not isinstance(asked.get("mark"), str) or asked["mark"] not in WORDS:
        raise BadRequest('Expected {"answer_id": ..., "mark": "good" | "bad" | "none"}.', param="mark")
    try:
        board.fallbacks.mark(str(asked.get("answer_id")), WORDS[asked["mark"]])
    except DistilError as error:
        raise BadRequest(str(error)) from None
    return as_json({"marks": dict(board.fallbacks.marks())}, headers=HEADERS)


def _allowed(gateway: Gateway, request: Request) -> Board:
    """The board, for whoever may see what others asked. Raises BadRequest (401, 403)."""
    assert gateway.board is not None
    refuse_foreign(request.headers, gateway.host)
    if request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        raise BadRequest("Requests of web pages from elsewhere are refused.", status=403, code="foreign_origin")
    gateway.keys.check_page(request.headers)
    return gateway.board
