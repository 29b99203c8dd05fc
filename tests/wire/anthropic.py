"""A loopback Anthropic: messages with the real checks and error bodies, and message batches."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from tests.wire.server import Trouble, WireServer, rough_tokens

KEY = "sk-ant-api03-loopback-secret-0123456789"
CUSTOM_ID = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")


def error(status: int, kind: str, message: str, **headers: str) -> Trouble:
    """An error body as api.anthropic.com sends it."""
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
    return Trouble(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


OVERLOADED = error(529, "overloaded_error", "Overloaded")
BROKE = error(400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API.")


def rate_limited(retry_after: str) -> Trouble:
    """429 on requests per minute."""
    words = "This request would exceed your organization's rate limit of 50 requests per minute."
    return error(429, "rate_limit_error", words, retry_after=retry_after)


class AnthropicServer(WireServer):
    """Knows the models in `models`."""

    def __init__(
        self,
        *,
        models: tuple[str, ...] = ("claude-haiku-4-5", "claude-opus-4-7"),
        answer: Callable[[dict[str, Any]], Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.models = models
        self.answer = answer or (lambda body: f"An answer to: {_last_words(body)}")
        """body -> text, or a whole list of content blocks."""
        self.stop_reason = "end_turn"
        self.answered: list[dict[str, Any]] = []
        self.batches: dict[str, dict[str, Any]] = {}
        self.looks_until_done = 2
        self.expire: set[str] = set()
        self.fail: set[str] = set()
        self.garble: set[str] = set()
        self.status: str | None = None
        """A word that every batch that is not done has, such as `paused`."""

    @property
    def url(self) -> str:
        """The base URL."""
        return self.origin

    def routes(self) -> list[web.RouteDef]:
        """Messages and batches."""
        return [
            web.post("/v1/messages", self.refuse_or_complete),
            web.post("/v1/messages/batches", self._create),
            web.get("/v1/messages/batches", self._list),
            web.get("/v1/messages/batches/{id}", self._get),
            web.get("/v1/messages/batches/{id}/results", self._results),
            web.post("/v1/messages/batches/{id}/cancel", self._cancel),
        ]

    def refused(self, request: web.Request) -> web.Response | None:
        """401, or 400 without a version."""
        if request.headers.get("x-api-key") != KEY:
            return _response(error(401, "authentication_error", "invalid x-api-key"))
        if request.headers.get("anthropic-version") != "2023-06-01":
            return _response(error(400, "invalid_request_error", "anthropic-version: header is required"))
        return None

    def complete(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """(status, body): the checks of the real API, then an answer."""
        wrong = self.check(body)
        if wrong is not None:
            return wrong.status, wrong.body
        self.answered.append(body)
        made = self.answer(body)
        content = made if isinstance(made, list) else [{"type": "text", "text": made}]
        asked = rough_tokens(json.dumps(body["messages"]) + str(body.get("system", "")))
        return 200, {
            "id": f"msg_{len(self.answered)}",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": content,
            "stop_reason": "tool_use" if any(b["type"] == "tool_use" for b in content) else self.stop_reason,
            "stop_sequence": None,
            "usage": {
                "input_tokens": asked,
                "cache_creation_input_tokens": 3,
                "cache_read_input_tokens": 5,
                "output_tokens": rough_tokens(json.dumps(content)),
                "service_tier": "standard",
            },
        }

    def check(self, body: dict[str, Any]) -> Trouble | None:
        """What the real API refuses."""
        wrong = "invalid_request_error"
        if body.get("model") not in self.models:
            return error(404, "not_found_error", f"model: {body.get('model')}")
        if "max_tokens" not in body:
            return error(400, wrong, "max_tokens: Field required")
        roles = [turn["role"] for turn in body["messages"]]
        if not roles or roles[0] != "user" or set(roles) - {"user", "assistant"}:
            return error(400, wrong, 'messages: Unexpected role "system". Use the top-level `system` parameter.')
        if "opus-4-7" in body["model"] and {"temperature", "top_p"} & set(body):
            return error(400, wrong, "`temperature` is deprecated for this model.")
        if {"temperature", "top_p"} <= set(body):
            return error(400, wrong, "`temperature` and `top_p` cannot both be specified for this model.")
        if body.get("thinking", {}).get("type") == "enabled" and body.get("temperature", 1) != 1:
            return error(400, wrong, "`temperature` may only be set to 1 when thinking is enabled.")
        if body.get("thinking", {}).get("budget_tokens", 0) >= body["max_tokens"]:
            return error(400, wrong, "`max_tokens` must be greater than `thinking.budget_tokens`.")
        return None

    async def _create(self, request: web.Request) -> web.Response:
        refused = self.refused(request)
        if refused is not None:
            return refused
        rows = (await request.json())["requests"]
        ids = [row["custom_id"] for row in rows]
        if len(set(ids)) < len(ids) or not all(CUSTOM_ID.match(name) for name in ids):
            return _response(
                error(400, "invalid_request_error", "requests: custom_id must be unique and match the pattern")
            )
        name = f"msgbatch_{len(self.batches) + 1}"
        now = datetime.now(UTC)
        self.batches[name] = {
            "id": name,
            "type": "message_batch",
            "processing_status": "in_progress",
            "request_counts": {"processing": len(rows), "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0},
            "created_at": now.isoformat(),
            "expires_at": (now + timedelta(hours=24)).isoformat(),
            "ended_at": None,
            "cancel_initiated_at": None,
            "results_url": None,
            "looks": 0,
            "rows": rows,
            "results": b"",
        }
        return web.json_response(shown(self.batches[name]))

    async def _list(self, request: web.Request) -> web.Response:
        newest = list(reversed(self.batches.values()))
        after = request.query.get("after_id")
        if after:
            newest = newest[[batch["id"] for batch in newest].index(after) + 1 :]
        page = newest[: int(request.query.get("limit", 20))]
        body = {
            "data": [shown(batch) for batch in page],
            "has_more": len(page) < len(newest),
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
        }
        return self.refused(request) or web.json_response(body)

    async def _get(self, request: web.Request) -> web.Response:
        batch = self.batches.get(request.match_info["id"])
        if batch is None:
            return _response(error(404, "not_found_error", "Batch not found"))
        if batch["processing_status"] == "in_progress":
            batch["looks"] += 1
            if self.status is not None:
                return web.json_response(shown(batch) | {"processing_status": self.status})
            if batch["looks"] >= self.looks_until_done:
                self._finish(batch)
        return self.refused(request) or web.json_response(shown(batch))

    async def _cancel(self, request: web.Request) -> web.Response:
        batch = self.batches.get(request.match_info["id"])
        if batch is None:
            return _response(error(404, "not_found_error", "Batch not found"))
        self.stop(batch)
        return web.json_response(shown(batch) | {"processing_status": "canceling"})

    def stop(self, batch: dict[str, Any], answered: int = 0) -> None:
        """Somebody cancels a batch, in the console or by the API, after so many of its rows were answered."""
        batch["cancel_initiated_at"] = datetime.now(UTC).isoformat()
        self._finish(batch, answered)

    def _finish(self, batch: dict[str, Any], answered: int | None = None) -> None:
        lines = []
        most = len(batch["rows"]) if answered is None else answered
        for number, row in reversed(list(enumerate(batch["rows"]))):
            words = json.dumps(row["params"])
            if number >= most:
                result: dict[str, Any] = {"type": "canceled"}
            elif any(word in words for word in self.expire):
                result = {"type": "expired"}
            elif any(word in words for word in self.fail):
                result = {"type": "errored", "error": error(500, "api_error", "Internal server error").body}
            else:
                status, reply = self.complete(row["params"])
                if status == 200:
                    reply["usage"]["service_tier"] = "batch"
                result = (
                    {"type": "succeeded", "message": reply} if status == 200 else {"type": "errored", "error": reply}
                )
            line = json.dumps({"custom_id": row["custom_id"], "result": result})
            lines.append(line[: len(line) // 2] if any(word in line for word in self.garble) else line)
        batch["results"] = ("\n".join(lines) + "\n").encode()
        batch["processing_status"] = "ended"
        batch["ended_at"] = datetime.now(UTC).isoformat()
        batch["results_url"] = f"{self.origin}/v1/messages/batches/{batch['id']}/results"

    async def _results(self, request: web.Request) -> web.Response:
        if request.match_info["id"] not in self.batches:
            return _response(error(404, "not_found_error", "Batch not found"))
        raw = self.batches[request.match_info["id"]]["results"]
        return self.refused(request) or web.Response(body=raw, content_type="application/x-jsonl")


def shown(batch: dict[str, Any]) -> dict[str, Any]:
    """The batch object as the API shows it."""
    return {key: value for key, value in batch.items() if key not in ("looks", "rows", "results")}


def _last_words(body: dict[str, Any]) -> str:
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else "".join(block.get("text", "") for block in content)


def _response(trouble: Trouble) -> web.Response:
    return web.json_response(trouble.body, status=trouble.status, headers=trouble.headers)
