"""A loopback Gemini API: generateContent with the real checks, error bodies, thoughts and safety blocks."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from tests.wire.server import Trouble, WireServer, rough_tokens

KEY = "AIzaSyLoopbackSecret0123456789"


def error(code: int, status: str, message: str, *details: dict[str, Any]) -> Trouble:
    """An error body as generativelanguage.googleapis.com sends it."""
    return Trouble(code, {"error": {"code": code, "message": message, "status": status, "details": list(details)}})


BAD_KEY = error(
    400,
    "INVALID_ARGUMENT",
    "API key not valid. Please pass a valid API key.",
    {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"},
)
OVERLOADED = error(503, "UNAVAILABLE", "The model is overloaded. Please try again later.")


def exhausted(quota_id: str, delay: str = "37s") -> Trouble:
    """429 with the quota that was hit, per minute or per day, and the delay that it asks for."""
    failure = {
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [{"quotaMetric": "generate_content_requests", "quotaId": quota_id, "quotaValue": "10"}],
    }
    retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
    return error(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota.", failure, retry)


class GoogleServer(WireServer):
    """Knows the models in `models`."""

    def __init__(
        self,
        *,
        models: tuple[str, ...] = ("gemini-2.5-flash", "gemini-3-flash"),
        answer: Callable[[dict[str, Any]], Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.models = models
        self.answer = answer or (lambda body: f"An answer to: {body['contents'][-1]['parts'][-1].get('text', '')}")
        """body -> text, a list of parts, or a whole reply."""
        self.finish_reason = "STOP"
        self.answered: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        """The base URL."""
        return self.origin

    def routes(self) -> list[web.RouteDef]:
        """generateContent of every model."""
        return [web.post("/v1beta/models/{call}", self._generate)]

    async def _generate(self, request: web.Request) -> web.Response:
        if request.headers.get("x-goog-api-key") != KEY:
            return _response(BAD_KEY)
        model, _, method = request.match_info["call"].partition(":")
        if method != "generateContent" or model not in self.models:
            return _response(error(404, "NOT_FOUND", f"models/{model} is not found for API version v1beta."))
        body = await request.json()
        if any(turn.get("role") not in ("user", "model") for turn in body["contents"]):
            return _response(error(400, "INVALID_ARGUMENT", "Please use a valid role: user, model."))
        flex = body.get("service_tier") == "flex"
        headers = {"x-gemini-service-tier": "flex" if flex else "standard"}
        return web.json_response(self.reply(body, model), headers=headers)

    def reply(self, body: dict[str, Any], model: str) -> dict[str, Any]:
        """The answer to one request, live or in a batch."""
        self.answered.append(body)
        made = self.answer(body)
        if isinstance(made, dict):
            return made
        parts = made if isinstance(made, list) else [{"text": made}]
        thinking = body["generationConfig"].get("thinkingConfig", {}).get("includeThoughts")
        if thinking:
            parts = [{"text": "Let me think.", "thought": True}, *parts]
        candidate: dict[str, Any] = {
            "content": {"role": "model", "parts": parts},
            "finishReason": self.finish_reason,
            "index": 0,
        }
        if body["generationConfig"].get("responseLogprobs"):
            chosen = {"token": "An", "tokenId": 7, "logProbability": -0.25}
            candidate["logprobsResult"] = {"topCandidates": [{"candidates": [chosen]}], "chosenCandidates": [chosen]}
        return {
            "candidates": [candidate],
            "usageMetadata": {
                "promptTokenCount": rough_tokens(json.dumps(body["contents"])),
                "candidatesTokenCount": rough_tokens(json.dumps(parts)),
                "thoughtsTokenCount": 40 if thinking else 0,
                "totalTokenCount": 0,
            },
            "modelVersion": model,
        }


def _response(trouble: Trouble) -> web.Response:
    return web.json_response(trouble.body, status=trouble.status, headers=trouble.headers)
