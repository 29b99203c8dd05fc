"""Loopback providers of fine-tuning: what all have in common. Files and jobs are counted; jobs go on when they are looked at.

The shapes are those of the vendors' SDKs (openai 3.57, together 3.1.1, fireworks-ai 1.2.30), whose clients work against these
servers (tests/calls/fine_tuning/test_sdks.py, where they are installed), and of Microsoft's REST reference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from tests.wire.server import WireServer

KEY = "loopback-fine-tuning-secret-0123456789"
BASES = {
    "openai": "gpt-4.1-mini-2025-04-14",
    "azure": "gpt-4.1-mini-2025-04-14",
    "together": "Qwen/Qwen3-8B",
    "fireworks": "accounts/fireworks/models/qwen3-8b",
}


class FineTuningServer(WireServer):
    """Subclasses say the paths and the shapes."""

    vendor = ""
    steps: tuple[str, ...] = ()
    """The words of a job's states, the last one included, one for each look."""

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, dict[str, Any]] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.orders: list[dict[str, Any]] = []
        """The bodies that created jobs."""
        self.fail: str | None = None
        """A message: jobs fail with it."""
        self.refuse_file: str | None = None
        """A message: files are refused with it."""
        self.word: str | None = None
        """A state that every job has, such as one that no documentation lists."""

    @property
    def environ(self) -> dict[str, str]:
        """The environment of a client of this server."""
        raise AssertionError("a subclass says")

    def refused(self, request: web.Request) -> web.Response | None:
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return web.json_response(
                {"error": {"message": "Invalid API key provided", "code": "invalid_api_key"}}, status=401
            )
        return None

    async def upload_of(self, request: web.Request) -> tuple[dict[str, str], str, bytes]:
        """(fields, file name, content) of a multipart request."""
        form = await request.post()
        upload = form["file"]
        assert isinstance(upload, web.FileField)
        with upload.file as file:
            content = file.read()
        return {name: value for name, value in form.items() if isinstance(value, str)}, upload.filename, content

    def step(self, job: dict[str, Any]) -> str:
        """The job's state after one more look."""
        if job["word"] not in (self.steps[-1], "failed", "error", "FAILED", "cancelled", "CANCELLED"):
            job["looks"] += 1
            place = min(job["looks"], len(self.steps) - 1)
            job["word"] = self.steps[place]
            if self.fail is not None and place == len(self.steps) - 1:
                job["word"] = self.failed_word
        return self.word or str(job["word"])

    failed_word = "failed"


def guarded(server: FineTuningServer, handler: Callable[[web.Request], Any]) -> Callable[[web.Request], Any]:
    """The handler behind the check of the key."""

    async def checked(request: web.Request) -> web.StreamResponse:
        return server.refused(request) or await handler(request)

    return checked


def missing(what: str, message: str | None = None) -> web.Response:
    """404 in OpenAI's shape."""
    error = {"message": message or f"No such {what}", "type": "invalid_request_error", "param": None, "code": None}
    return web.json_response({"error": error}, status=404)
