"""http://HOST:PORT/v1#NAME and the vendors with an OpenAI-compatible API: vLLM, SGLang, Ollama, llama.cpp, Together, Groq, ...

What they do differently from OpenAI: `max_tokens`, both spellings of the reasoning field, other error shapes, limits that
are not per minute. Sends nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from distil.calls.faults import FaultKind
from distil.calls.providers import common
from distil.calls.providers.base import LimitHint
from distil.calls.providers.chat import LIMIT_HEADERS, ChatProvider


class CompatibleProvider(ChatProvider):
    """Any server that copied `POST /v1/chat/completions`."""

    def classify(self, status: int, code: str, message: str) -> tuple[FaultKind, bool]:
        """Also reads what has no code: vLLM's context overflow is a plain 400, Ollama's unknown model a plain 404."""
        if status == 404 and not message:  # a proxy or a wrong path rather than a wrong model: still nothing to retry
            return "not_found", False
        return super().classify(status, code, message)

    def explain(self, status: int, kind: FaultKind, code: str, message: str) -> str:
        """Adds the usual cause of a 404: a base URL without /v1."""
        if kind == "not_found" and not self.base_url.endswith("/v1"):
            return (
                super().explain(status, kind, code, message)
                + " If that page is not there, the address may lack its /v1."
            )
        if kind == "bad_request" and "context length" in message:
            code = "context_length_exceeded"
        return super().explain(status, kind, code, message)

    def limits(self, headers: Mapping[str, str]) -> LimitHint:
        """Groq's and Cerebras's request limits are per day and would be misread as per minute: only their tokens count."""
        low = common.lowered(headers)
        if "x-ratelimit-limit-tokens-minute" in low:
            return common.read_limits(low, {"tokens": "x-ratelimit-{}-tokens-minute"})
        if "groq.com" in self.base_url:
            return common.read_limits(low, {"tokens": LIMIT_HEADERS["tokens"]})
        return super().limits(low)
