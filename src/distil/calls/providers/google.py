"""google/NAME: the Gemini API's generateContent. Separate system instruction and thoughts; safety blocks are recognized.

Not Vertex AI. Sends nothing. The shapes of turns and tools are in google_parts.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from distil.calls.faults import Fault, FaultKind, GarbledReply
from distil.calls.providers import common, error_words, google_parts, reading
from distil.calls.providers.base import LimitHint, Parsed, WireRequest
from distil.calls.providers.usage import google_usage, told_cost
from distil.calls.request import JsonObject, Request
from distil.endings import ending

THINKING_TOKENS = {"none": 0, "minimal": 512, "low": 1024, "medium": 8192, "high": 24576}
_VERSION = re.compile(r"gemini-(\d+)(?:\.(\d+))?")
_FINISH = {"STOP": "stop", "MAX_TOKENS": "length"}
_KINDS: dict[str, tuple[FaultKind, bool]] = {
    "UNAUTHENTICATED": ("auth", False),
    "PERMISSION_DENIED": ("auth", False),
    "NOT_FOUND": ("not_found", False),
    "INVALID_ARGUMENT": ("bad_request", False),
    "FAILED_PRECONDITION": ("auth", False),  # billing or region: nothing works until that is settled
    "RESOURCE_EXHAUSTED": ("rate_limit", True),
    "UNAVAILABLE": ("overload", True),
    "DEADLINE_EXCEEDED": ("timeout", True),
    "INTERNAL": ("server", True),
}


class GoogleProvider:
    """Translation to and from `POST {base_url}/v1beta/models/NAME:generateContent`."""

    def __init__(self, name: str, base_url: str, api_key: str | None) -> None:
        self.name = name.removeprefix("models/")
        self.base_url = base_url.rstrip("/").removesuffix("/v1beta")
        self._key = api_key
        version = _VERSION.match(self.name)
        self._version = (int(version[1]), int(version[2] or 0)) if version else (99, 0)

    def wire(self, request: Request) -> WireRequest:
        """The model's name is in the URL."""
        url = f"{self.base_url}/v1beta/models/{self.name}:generateContent"
        return WireRequest(url, self.headers(), self.body(request))

    def headers(self) -> dict[str, str]:
        """Carries the key: in a header, never in the URL, which ends up in logs."""
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["x-goog-api-key"] = self._key
        return headers

    def body(self, request: Request) -> JsonObject:
        """The JSON body."""
        system, contents = google_parts.conversation(request.messages)
        body: JsonObject = {"contents": contents, "generationConfig": self._config(request)}
        if system:
            body["systemInstruction"] = {"parts": [{"text": system}]}
        if request.tools:
            body["tools"] = [{"functionDeclarations": [google_parts.declaration(tool) for tool in request.tools]}]
        if request.tools and request.tool_choice is not None:
            body["toolConfig"] = {"functionCallingConfig": google_parts.tool_choice(request.tool_choice)}
        if request.tier == "flex":
            body["service_tier"] = "flex"
        return body

    def ignored(self, request: Request) -> list[str]:
        """Gemini takes every setting of ours."""
        return []

    def _config(self, request: Request) -> JsonObject:
        sampling = request.sampling
        config: JsonObject = {"temperature": sampling.temperature, "maxOutputTokens": sampling.max_tokens}
        if sampling.top_p != 1.0:
            config["topP"] = sampling.top_p
        if sampling.stop:
            config["stopSequences"] = sampling.stop
        if request.seed is not None:
            config["seed"] = request.seed
        if sampling.top_logprobs is not None:
            config["responseLogprobs"] = True
            config["logprobs"] = sampling.top_logprobs
        effort = sampling.reasoning_effort
        if effort is not None and self._version >= (3, 0):
            level = {"none": "minimal", "xhigh": "high", "max": "high"}.get(effort, effort)
            config["thinkingConfig"] = {"thinkingLevel": level, "includeThoughts": effort != "none"}
        elif effort is not None and self._version >= (2, 5):
            tokens = THINKING_TOKENS.get(effort, -1)  # -1: the model decides
            config["thinkingConfig"] = {"thinkingBudget": tokens, "includeThoughts": tokens != 0}
        if request.response_format:
            config["responseMimeType"] = "application/json"
            schema = (request.response_format.get("json_schema") or {}).get("schema")
            if schema:
                config["responseJsonSchema"] = schema
        return config

    @reading.parses
    def parse(self, status: int, headers: Mapping[str, str], body: bytes) -> Parsed:
        """A prompt that a filter blocked is an (empty) answer with the finish reason content_filter."""
        reply = common.read_object(body)
        usage = google_usage(reply.get("usageMetadata"))
        tier = _tier(headers, reply.get("usageMetadata"))
        if reply.get("error"):
            words = common.words(common.mapping(reply.get("error")).get("message"))
            raise GarbledReply(f"the reply is an error: {common.shorten(words, self._key)}")
        candidate = common.first_choice(reply.get("candidates"))
        if candidate is None:
            if common.mapping(reply.get("promptFeedback")).get("blockReason"):
                return Parsed(text="", finish_reason="content_filter", usage=usage, served_tier=tier)
            raise reading.wrong_shape("the reply has no candidates", reply)
        parts = common.mapping(candidate.get("content")).get("parts")
        text, thoughts, calls = google_parts.read(parts if isinstance(parts, list) else [])
        reason = candidate.get("finishReason")
        reason = reason if isinstance(reason, str) and reason else "none"
        finish = "content_filter" if ending(reason) == "refused" else _FINISH.get(reason, reason.lower())
        return Parsed(
            text=text,
            reasoning=thoughts or None,
            tool_calls=calls or None,
            finish_reason="tool_calls" if calls and finish == "stop" else finish,
            usage=usage,
            logprobs=google_parts.logprobs(candidate.get("logprobsResult")),
            served_tier=tier,
            told=told_cost(reply.get("usageMetadata"), headers),
        )

    @reading.sorts
    def fault(self, status: int, headers: Mapping[str, str], body: bytes) -> Fault:
        """Reads the status word and the details: a quota per day is not a rate limit, a bad key is a plain 400."""
        error = common.mapping(common.error_object(body).get("error"))
        words = error_words.error_words(body, status)
        status, message = words.status(status), common.shorten(words.message, self._key)
        word = error["status"] if isinstance(error.get("status"), str) else ""
        details = [item for item in error.get("details") or [] if isinstance(item, dict)]
        kind, retryable = _KINDS.get(word, common.by_status(status))
        if any(item.get("reason") == "API_KEY_INVALID" for item in details):
            kind, retryable = "auth", False
        elif kind == "rate_limit" and _per_day(details):
            kind, retryable = "quota", False
        wait = None
        if retryable:
            delays = [common.duration_s(item.get("retryDelay")) for item in details]
            wait = next((delay for delay in delays if delay is not None), common.retry_after_s(headers))
        return Fault(kind, self._explain(status, kind, word, message), wait, retryable)

    def _explain(self, status: int, kind: FaultKind, word: str, message: str) -> str:
        detail = f" It says: {message}" if message else ""
        if kind == "auth":
            return (
                f"Google refused the API key for {self.name} ({status} {word}).{detail} Check the environment variable that "
                "holds it, and that its project has the Gemini API and billing switched on."
            )
        if kind == "not_found":
            return f"Google has no model {self.name!r} ({status}).{detail} Correct `model` in distil.yaml."
        if kind == "quota":
            return f"The day's quota of this Google project is used up.{detail} Run again tomorrow (Pacific time), or raise it."
        return f"Google answered {status}{' ' + word if word else ''}.{detail}"

    def limits(self, headers: Mapping[str, str]) -> LimitHint:
        """Gemini announces no limits in its headers."""
        return {}


def _per_day(details: list[JsonObject]) -> bool:
    violations = [violation for item in details for violation in item.get("violations") or []]
    return any("PerDay" in str(violation.get("quotaId", "")) for violation in violations)


def _tier(headers: Mapping[str, str], usage: Any) -> str | None:
    detail = common.lowered(headers).get("x-gemini-service-tier") if headers else None
    detail = detail or (usage.get("serviceTier") if isinstance(usage, dict) else None)
    if not isinstance(detail, str):
        return None
    return "flex" if detail.lower().endswith("flex") else "standard"
