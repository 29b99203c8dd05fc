"""The page's server: on this machine only, for whoever has its address, which holds a secret. Reads rows, writes marks.

Not the gateway (distil/serve/).
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, cast

from pydantic import ValidationError

from distil.errors import DistilError, UserError
from distil.ids import now
from distil.progress import say
from distil.runs.artifacts import Project
from distil.runs.jsonl import describe
from distil.runs.marks import add_mark, undo
from distil.runs.schemas.marks import Mark
from distil.text import load_json
from distil.view.catalog import FACETS, SIGNALS, Catalog
from distil.view.page import render
from distil.view.rows import brief, whole

if TYPE_CHECKING:
    from aiohttp import web

HOST = "127.0.0.1"
MAX_WINDOW = 500
"""Rows of one reply."""
HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}
Handler = Callable[["web.Request"], Awaitable["web.StreamResponse"]]


class Page:
    """The requests of the page, on one catalog."""

    def __init__(self, project: Project, catalog: Catalog, token: str) -> None:
        self.project = project
        self._catalog = catalog
        self._token = token

    def app(self) -> web.Application:
        """The application. Every request must name this machine as its host; all but the page itself must carry the token."""
        from aiohttp import web

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._guard(request, handler)

        app = web.Application(middlewares=[guard], client_max_size=1 << 20)
        app.add_routes(
            [
                web.get("/", self._page),
                web.get("/api/rows", self._rows),
                web.get("/api/rows/{id}", self._row),
                web.post("/api/marks", self._mark),
                web.post("/api/undo", self._undo),
            ]
        )
        return app

    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        from aiohttp import web

        host = request.host.rpartition(":")[0] or request.host
        if host not in (
            HOST,
            "localhost",
        ):  # another name for this machine: a page elsewhere that was made to point here
            return _json({"error": f"Open the page at http://{HOST}."}, 403)
        if request.path.startswith("/api/") and not self._allowed(request):
            return _json({"error": "Open the address that `distil view --page` printed: it holds a key."}, 403)
        try:
            return await handler(request)
        except web.HTTPException as error:
            return _json({"error": error.reason}, error.status)
        except DistilError as error:
            return _json({"error": str(error)}, 400)

    def _allowed(self, request: web.Request) -> bool:
        return secrets.compare_digest(request.headers.get("x-distil-key", "").encode(), self._token.encode())

    async def _page(self, request: web.Request) -> web.Response:
        from aiohttp import web

        html, policy = render(self.project)
        return web.Response(text=html, content_type="text/html", headers=HEADERS | {"content-security-policy": policy})

    async def _rows(self, request: web.Request) -> web.Response:
        query = request.query
        offset, limit = (_count(query.get(name), name, default) for name, default in (("offset", 0), ("limit", 100)))
        wanted = {name: query[name] for name in FACETS if query.get(name)}
        found = await asyncio.to_thread(
            self._catalog.find,
            query.get("search", ""),
            wanted,
            sort=query.get("sort", ""),
            offset=offset,
            limit=min(limit, MAX_WINDOW),
        )
        marks = self._catalog.marks
        rows = [brief(row, marks) for row in found.rows]
        all_rows = len(self._catalog.rows)
        return _json({"total": found.total, "all": all_rows, "rows": rows, "facets": found.facets, "signals": SIGNALS})

    async def _row(self, request: web.Request) -> web.Response:
        return _json(whole(self._catalog.row(request.match_info["id"]), self._catalog.marks))

    async def _mark(self, request: web.Request) -> web.Response:
        body = _object(await request.text())
        answer = self._catalog.answer(str(body.get("answer_id")))
        try:
            said = {name: body[name] for name in ("mark", "text", "reason") if body.get(name)}
            row = {"answer_id": answer.id, "prompt_id": answer.prompt_id, "created": now(), **said}
            mark = Mark.model_validate(row)
        except ValidationError as error:
            raise UserError(f"The mark can't be kept: {describe(error)}.") from None
        add_mark(self.project.marks, mark)
        return _json(whole(self._catalog.row(answer.prompt_id), self._catalog.marks))

    async def _undo(self, request: web.Request) -> web.Response:
        taken = undo(self.project.marks)
        return _json({"undone": None if taken is None else taken.model_dump(mode="json")})


async def serve(project: Project, student: str | None, port: int, opened: Callable[[str], None]) -> None:
    """Serves until it is cancelled. `opened` is told the address. Raises UserError when the port is taken."""
    from aiohttp import web

    catalog, token = Catalog(project, student), secrets.token_urlsafe(16)
    runner = web.AppRunner(Page(project, catalog, token).app(), access_log=None)
    await runner.setup()
    try:
        listening = _socket(port)
        await web.SockSite(runner, listening).start()
        opened(f"http://{HOST}:{listening.getsockname()[1]}/#{token}")
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
        say("The page is closed. Marks are kept; `distil curate` follows them.")


def _socket(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
    except OSError as error:
        listening.close()
        raise UserError(
            f"Port {port} can't be used ({error.strerror}). Give another one with --port, or none."
        ) from None
    return listening


def _count(text: str | None, name: str, default: int) -> int:
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise UserError(f"Found {name}={text[:20]!r}, expected a whole number.")
    return int(text)


def _object(text: str) -> Mapping[str, object]:
    try:
        value = load_json(text)
    except (ValueError, RecursionError):
        raise UserError("The body is not JSON.") from None
    if not isinstance(value, dict):
        raise UserError("The body is not a JSON object.")
    return cast("Mapping[str, object]", value)


def _json(value: Mapping[str, object], status: int = 200) -> web.Response:
    from aiohttp import web

    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return web.Response(text=text, status=status, content_type="application/json", headers=HEADERS)
