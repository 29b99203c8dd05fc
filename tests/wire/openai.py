"""A loopback OpenAI: chat completions with the real checks and error bodies, models, files and batches (openai_batches.py)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from aiohttp import web

from tests.wire.openai_batches import BatchDesk
from tests.wire.server import Seen, Trouble, WireServer, rough_tokens

KEY = "sk-proj-loopback-secret-0123456789"


def error(
    status: int,
    code: str | None,
    message: str,
    *,
    kind: str = "invalid_request_error",
    param: str | None = None,
    **headers: str,
) -> Trouble:
    """An error body as api.openai.com sends it; header names are given with underscores."""
    body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return Trouble(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def rate_limited(retry_after: str | None = None) -> Trouble:
    """429 because of requests per minute."""
    headers = {"retry_after": retry_after} if retry_after is not None else {}
    words = "Rate limit reached for gpt-4o-mini in organization org-1 on requests per min (RPM): Limit 500, Used 500."
    return error(429, "rate_limit_exceeded", words, kind="requests", **headers)


OUT_OF_MONEY = error(
    429,
    "insufficient_quota",
    "You exceeded your current quota, please check your plan and billing details.",
    kind="insufficient_quota",
)
SHED = error(429, "resource_unavailable", "Resource unavailable. Please try again later.", kind="resource_unavailable")
TOO_LONG = error(
    400,
    "context_length_exceeded",
    "This model's maximum context length is 128000 tokens. However, your messages resulted in 140000 tokens.",
    param="messages",
)
SERVER_ERROR = error(
    500, None, "The server had an error while processing your request. Sorry about that!", kind="server_error"
)
BUSY = error(503, None, "The engine is currently overloaded, please try again later.", kind="server_error")


class OpenAIServer(WireServer):
    """Knows the models in `models`; with `key` None it is a self-hosted server that asks for no key."""

    def __init__(
        self,
        *,
        models: tuple[str, ...] = ("gpt-4o-mini", "gpt-5-mini"),
        key: str | None = KEY,
        answer: Callable[[dict[str, Any]], Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.models = models
        self.key = key
        self.answer = answer or (lambda body: f"An answer to: {last_words(body)}")
        """body -> text, or a whole `message` object."""
        self.reasoning_field: str | None = None
        """`reasoning` (vLLM since 2026, OpenRouter) or `reasoning_content` (DeepSeek, older vLLM)."""
        self.reasoning_tokens = 0
        self.finish_reason = "stop"
        self.logprobs = True
        self.answered: list[dict[str, Any]] = []
        """Bodies that were answered, live or in a batch: what a real provider would bill."""
        self.desk = BatchDesk(self)

    @property
    def url(self) -> str:
        """The base URL."""
        return f"{self.origin}/v1"

    def routes(self) -> list[web.RouteDef]:
        """Chat, models, files and batches."""
        return [
            web.post("/v1/chat/completions", self.refuse_or_complete),
            web.get("/v1/models", self._models),
            *self.desk.routes(),
        ]

    def refused(self, request: web.Request) -> web.Response | None:
        """401 as OpenAI words it: with the first and last letters of the wrong key in it."""
        if self.key is None or request.headers.get("Authorization") == f"Bearer {self.key}":
            return None
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        words = f"Incorrect API key provided: {given[:8]}*****{given[-4:]}. You can find your API key at https://platform.openai.com."
        return as_response(error(401, "invalid_api_key", words))

    async def _models(self, request: web.Request) -> web.Response:
        listed = [{"id": name, "object": "model", "owned_by": "openai"} for name in self.models]
        return self.refused(request) or web.json_response({"object": "list", "data": listed})

    def complete(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """(status, body): the checks of the real API, then an answer."""
        wrong = self.check(body)
        if wrong is not None:
            return wrong.status, wrong.body
        self.answered.append(body)
        made = self.answer(body)
        message = made if isinstance(made, dict) else {"role": "assistant", "content": made, "refusal": None}
        if self.reasoning_field:
            message[self.reasoning_field] = "Let me think."
        words = message.get("content") or ""
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish_reason}
        if message.get("tool_calls"):
            choice["finish_reason"] = "tool_calls"
        if body.get("logprobs") and self.logprobs:
            choice["logprobs"] = {
                "content": [_logprob(word, body["top_logprobs"]) for word in words.split()],
                "refusal": None,
            }
        asked = rough_tokens(json.dumps(body["messages"]))
        answered = rough_tokens(words) + self.reasoning_tokens
        reply = {
            "id": f"chatcmpl-{len(self.answered)}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": body["model"],
            "choices": [choice],
            "usage": {
                "prompt_tokens": asked,
                "completion_tokens": answered,
                "total_tokens": asked + answered,
                "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": self.reasoning_tokens, "audio_tokens": 0},
            },
            "service_tier": "flex" if body.get("service_tier") == "flex" else "default",
            "system_fingerprint": "fp_1",
        }
        return 200, reply

    def check(self, body: dict[str, Any]) -> Trouble | None:
        """What the real API refuses."""
        model = body.get("model")
        if model not in self.models:
            words = f"The model `{model}` does not exist or you do not have access to it."
            return error(404, "model_not_found", words)
        if not body.get("messages"):
            return error(
                400, None, "Invalid 'messages': empty array. Expected an array with minimum length 1.", param="messages"
            )
        if str(model).startswith(("gpt-5", "o")):
            if "max_tokens" in body:
                words = (
                    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens'."
                )
                return error(400, "unsupported_parameter", words, param="max_tokens")
            if body.get("temperature", 1) != 1:
                words = "Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1)."
                return error(400, "unsupported_value", words, param="temperature")
            if body.get("logprobs"):
                return error(400, None, "You are not allowed to request logprobs from this model", param="logprobs")
        return None


def last_words(body: dict[str, Any]) -> str:
    """The text of the last turn."""
    content = body["messages"][-1].get("content")
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content or [])


def asks(words: str) -> Callable[[Seen], bool]:
    """True for requests that hold these words."""
    return lambda seen: words.encode() in seen.raw


def as_response(trouble: Trouble) -> web.Response:
    """A Trouble as aiohttp's response."""
    return web.json_response(trouble.body, status=trouble.status, headers=trouble.headers)


def _logprob(word: str, top: int) -> dict[str, Any]:
    alternatives = [{"token": f"{word}{n}", "logprob": -0.1 - n, "bytes": list(word.encode())} for n in range(top)]
    return {"token": word, "logprob": -0.1, "bytes": list(word.encode()), "top_logprobs": alternatives}
