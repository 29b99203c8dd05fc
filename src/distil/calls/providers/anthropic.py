"""anthropic/NAME: Anthropic's messages API. Separate system prompt, content blocks, thinking separate from the answer.

From Claude 4.7 on, models refuse temperature and top_p; from 4.1 on they take only one of the two; from 4.6 on thinking is
adaptive with an effort, before that it has a token budget. Sends nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from distil.calls.faults import Fault, FaultKind, GarbledReply
from distil.calls.providers import blocks, common, error_words, reading
from distil.calls.providers.base import LimitHint, Parsed, Unit, WireRequest
from distil.calls.providers.usage import anthropic_usage, told_cost
from distil.calls.request import JsonObject, Request
from distil.errors import UserError

VERSION_HEADER = "2023-06-01"
THINKING_TOKENS = {"minimal": 1024, "low": 1024, "medium": 4096, "high": 16384, "xhigh": 32768, "max": 32768}
_NAME = re.compile(r"^claude-(?:[a-z]+-)?(\d+)(?:-(\d{1,2})(?!\d))?")
FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "refusal",
}
_KINDS: dict[str, tuple[FaultKind, bool]] = {
    "authentication_error": ("auth", False),
    "permission_error": ("auth", False),
    "billing_error": ("quota", False),
    "not_found_error": ("not_found", False),
    "rate_limit_error": ("rate_limit", True),
    "overloaded_error": ("overload", True),
    "timeout_error": ("timeout", True),
    "api_error": ("server", True),
}
_LIMITS: dict[Unit, str] = {
    "requests": "anthropic-ratelimit-requests-{}",
    "tokens": "anthropic-ratelimit-tokens-{}",
    "input_tokens": "anthropic-ratelimit-input-tokens-{}",
    "output_tokens": "anthropic-ratelimit-output-tokens-{}",
}


class AnthropicProvider:
    """Translation to and from `POST {base_url}/v1/messages`."""

    def __init__(self, name: str, base_url: str, api_key: str | None) -> None:
        self.name = name
        self.base_url = base_url.rstrip("/").removesuffix("/v1")
        self._key = api_key
        self._version = model_version(name)

    def wire(self, request: Request) -> WireRequest:
        """Raises UserError on a temperature above 1, a tier that Anthropic does not sell, or too few max_tokens for thinking."""
        return WireRequest(f"{self.base_url}/v1/messages", self.headers(), self.body(request))

    def headers(self) -> dict[str, str]:
        """Carries the key."""
        headers = {"Content-Type": "application/json", "anthropic-version": VERSION_HEADER}
        if self._key:
            headers["x-api-key"] = self._key
        return headers

    def body(self, request: Request) -> JsonObject:
        """The JSON body; settings that the model refuses are left out."""
        if request.tier == "flex":
            raise UserError("Anthropic sells no flex tier. Set `collect.tier` to batch, cheapest or standard.")
        sampling = request.sampling
        system, turns = blocks.conversation(request.messages)
        body: JsonObject = {"model": self.name, "max_tokens": sampling.max_tokens, "messages": turns}
        if system:
            body["system"] = system
        body.update(self._sampling(request))
        if sampling.stop:
            body["stop_sequences"] = sampling.stop
        body.update(self._thinking(request))
        schema = blocks.json_schema(request.response_format)
        if schema is not None:
            config = body.setdefault("output_config", {})
            config["format"] = {"type": "json_schema", "schema": schema}
        if request.tools:
            body["tools"] = [blocks.tool(definition) for definition in request.tools]
        if request.tools and request.tool_choice is not None:
            body["tool_choice"] = blocks.tool_choice(request.tool_choice)
        return body

    def ignored(self, request: Request) -> list[str]:
        """Names of the sampling settings that this model or API does not take and that are left out."""
        sampling, sent = request.sampling, self._sampling(request)
        changed = {
            "temperature": sampling.temperature != 1.0,
            "top_p": sampling.top_p != 1.0,
            "seed": sampling.seed is not None,
            "top_logprobs": sampling.top_logprobs is not None,
        }
        return [name for name, is_set in changed.items() if is_set and name not in sent]

    def _sampling(self, request: Request) -> dict[str, float]:
        sampling = request.sampling
        if self._version >= (4, 7) or "thinking" in self._thinking(request):
            return {}
        if sampling.temperature > 1:
            raise UserError(
                f"{self.name} takes temperatures from 0 to 1; found {sampling.temperature}. Lower `sampling.temperature`."
            )
        sent = {}
        if sampling.temperature != 1.0:
            sent["temperature"] = sampling.temperature
        if sampling.top_p != 1.0 and not (sent and self._version >= (4, 1)):
            sent["top_p"] = sampling.top_p
        return sent

    def _thinking(self, request: Request) -> JsonObject:
        effort = request.sampling.reasoning_effort
        if effort is None or self._version < (3, 7):
            return {}
        if self._version >= (4, 6):
            if effort == "none":
                return {"thinking": {"type": "disabled"}} if self._version >= (5, 0) else {}
            effort = "low" if effort == "minimal" else effort
            return {"thinking": {"type": "adaptive"}, "output_config": {"effort": effort}}
        if effort == "none":
            return {}
        tokens = THINKING_TOKENS.get(effort, THINKING_TOKENS["medium"])
        if tokens >= request.sampling.max_tokens:
            raise UserError(
                f"reasoning_effort {effort} lets {self.name} think for {tokens:,} tokens, and max_tokens "
                f"{request.sampling.max_tokens:,} must hold thinking and answer. Set max_tokens to {tokens + 1024:,} or more."
            )
        return {"thinking": {"type": "enabled", "budget_tokens": tokens}}

    @reading.parses
    def parse(self, status: int, headers: Mapping[str, str], body: bytes) -> Parsed:
        """Raises GarbledReply when there is no content list."""
        reply = common.read_object(body)
        content = reply.get("content")
        if reply.get("type") == "error" or reply.get("error"):
            words = common.words(common.mapping(reply.get("error")).get("message"))
            raise GarbledReply(f"the reply is an error: {common.shorten(words, self._key)}")
        if not isinstance(content, list):
            raise reading.wrong_shape("the reply has no content", reply)
        text, thinking, calls = blocks.read(content)
        reason = reply.get("stop_reason")
        reason = reason if isinstance(reason, str) else "none"
        return Parsed(
            text=text,
            reasoning=thinking or None,
            tool_calls=calls or None,
            finish_reason=FINISH.get(reason, reason),
            usage=anthropic_usage(reply.get("usage")),
            served_tier=_tier(reply.get("usage")),
            told=told_cost(reply.get("usage"), headers),
        )

    @reading.sorts
    def fault(self, status: int, headers: Mapping[str, str], body: bytes) -> Fault:
        """The error's type says more than the status; an empty account is a plain 400, recognized by its message."""
        words = error_words.error_words(body, status)
        status, code, message = words.status(status), words.code, common.shorten(words.message, self._key)
        kind, retryable = _KINDS.get(code, words.kind(status))
        if "credit balance is too low" in message:
            kind, retryable = "quota", False
        elif words.filtered:
            kind, retryable = "filtered", False
        wait = common.retry_after_s(headers) if retryable else None
        return Fault(kind, self._explain(status, kind, code, message), wait, retryable)

    def _explain(self, status: int, kind: FaultKind, code: str, message: str) -> str:
        detail = f" It says: {message}" if message else ""
        if kind == "auth":
            return (
                f"Anthropic refused the API key for {self.name} ({status}).{detail} Check the environment variable that holds "
                "it, and that its workspace may use this model."
            )
        if kind == "filtered":
            return f"A content filter of Anthropic refused this prompt ({status}).{detail}"
        if kind == "not_found":
            return f"Anthropic has no model {self.name!r} ({status}).{detail} Correct `model` in distil.yaml."
        if kind == "quota":
            return f"The Anthropic account has no credit left.{detail} Add credit, then run again."
        return f"Anthropic answered {status}{' ' + code if code else ''}.{detail}"

    def limits(self, headers: Mapping[str, str]) -> LimitHint:
        """`anthropic-ratelimit-*`: requests, input tokens and output tokens apart; resets are RFC 3339 times."""
        return common.read_limits(common.lowered(headers), _LIMITS)


def model_version(name: str) -> tuple[int, int]:
    """claude-sonnet-4-5-20250929 -> (4, 5); claude-3-5-haiku-latest -> (3, 5); an unknown name counts as the newest."""
    found = _NAME.match(name)
    return (int(found[1]), int(found[2] or 0)) if found else (99, 0)


def _tier(usage: Any) -> str | None:
    tier = usage.get("service_tier") if isinstance(usage, dict) else None
    if not isinstance(tier, str):
        return None
    return "batch" if tier == "batch" else "standard"
