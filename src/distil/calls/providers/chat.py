"""OpenAI's chat-completions wire format, as OpenAI and the servers compatible with it use it.

`ChatProvider` is what they share; `CompatibleProvider` serves http://HOST:PORT/v1#NAME and most vendors. Sends nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from distil.calls.faults import Fault, FaultKind, GarbledReply
from distil.calls.providers import chat_message, common, error_words, openai_names, reading
from distil.calls.providers.adjust import Lessons
from distil.calls.providers.base import LimitHint, Parsed, Unit, WireRequest
from distil.calls.providers.usage import chat_usage, told_cost
from distil.calls.request import JsonObject, Request
from distil.records import Message
from distil.thinking import combine

LIMIT_HEADERS: dict[Unit, str] = {"requests": "x-ratelimit-{}-requests", "tokens": "x-ratelimit-{}-tokens"}


class ChatProvider:
    """Translation to and from `POST {base_url}/chat/completions`. Constructed as Class(name, base_url, api_key)."""

    vendor = "The server"
    max_tokens_field = "max_tokens"
    takes_further = True
    """Whether `Request.further` is passed on."""

    def __init__(self, name: str, base_url: str, api_key: str | None) -> None:
        self.name = name
        self.base_url = base_url.rstrip("/")
        self._key = api_key
        self._lessons = Lessons()

    def adjusted(self, body: JsonObject) -> JsonObject:
        """The body with the names that this server has taught."""
        return self._lessons.adjusted(body)

    def learn(self, status: int, sent: JsonObject, reply: bytes) -> bool:
        """Reads a refusal. True: the same request, adjusted, may work."""
        return self._lessons.learn(status, sent, reply)

    def wire(self, request: Request) -> WireRequest:
        """One completion per request: n samples are n requests, so that each is durable on its own."""
        return WireRequest(f"{self.base_url}/chat/completions", self.headers(), self.body(request))

    def headers(self) -> dict[str, str]:
        """Carries the key where there is one."""
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        return headers

    def body(self, request: Request) -> JsonObject:
        """The JSON body; parameters that the model refuses are left out."""
        sampling = request.sampling
        left_out = set(self.ignored(request))
        body: JsonObject = {
            "model": self.name,
            "messages": [wire_message(message) for message in request.messages],
            self.max_tokens_field: sampling.max_tokens,
        }
        if "temperature" not in left_out:
            body["temperature"] = sampling.temperature
        if sampling.top_p != 1.0 and "top_p" not in left_out:
            body["top_p"] = sampling.top_p
        if sampling.stop and "stop" not in left_out:
            body["stop"] = sampling.stop
        if request.seed is not None:
            body["seed"] = request.seed
        if sampling.reasoning_effort is not None:
            body["reasoning_effort"] = sampling.reasoning_effort
        if sampling.top_logprobs is not None and "top_logprobs" not in left_out:
            body["logprobs"] = True
            body["top_logprobs"] = sampling.top_logprobs
        if request.tools:
            body["tools"] = request.tools
        if request.tools and request.tool_choice is not None:
            body["tool_choice"] = request.tool_choice
        if request.response_format:
            body["response_format"] = request.response_format
        if request.tier == "flex":
            body["service_tier"] = "flex"
        return body | (request.further or {})

    def ignored(self, request: Request) -> list[str]:
        """Names of the sampling settings that this model refuses and that are therefore left out of the body."""
        return []

    @reading.parses
    def parse(self, status: int, headers: Mapping[str, str], body: bytes) -> Parsed:
        """Raises GarbledReply when there is no choice with a message in it, or it is an error."""
        reply = common.read_object(body)
        choice = common.first_choice(reply.get("choices"))
        if error_words.marked_error(reply):
            words = error_words.error_words(body, status)
            raise GarbledReply(f"the reply is an error: {common.shorten(words.message or words.code, self._key)}")
        if choice is None:
            raise reading.wrong_shape("the reply has no choices", reply)
        message = chat_message.of(choice, reply)
        text, inline = chat_message.content(message)
        calls = chat_message.tool_calls(message)
        refusal = message.get("refusal")
        logprobs = common.mapping(choice.get("logprobs")).get("content")
        return Parsed(
            text=text or (refusal if isinstance(refusal, str) else ""),
            reasoning=combine(chat_message.thinking(message), inline),
            tool_calls=calls,
            finish_reason=chat_message.finish(choice, message, calls),
            usage=chat_usage(reply.get("usage")),
            logprobs=logprobs if isinstance(logprobs, list) and all(isinstance(t, dict) for t in logprobs) else None,
            served_tier=_tier(reply.get("service_tier")),
            told=told_cost(reply.get("usage"), headers),
        )

    @reading.sorts
    def fault(self, status: int, headers: Mapping[str, str], body: bytes) -> Fault:
        """Distinguishes quota, filters, shed flex requests and context overflow, which the status alone does not."""
        words = error_words.error_words(body, status)
        status = words.status(status)
        kind, retryable = self.classify(status, words)
        wait = common.retry_after_s(headers) if retryable else None
        said = common.shorten(words.message, self._key)
        most = reading.PAID_TRIES if kind == "broken_off" else None
        return Fault(kind, self.explain(status, kind, words.code, said), wait, retryable, most)

    def classify(self, status: int, words: error_words.ErrorWords) -> tuple[FaultKind, bool]:
        """(kind, retryable)."""
        return words.kind(status)

    def explain(self, status: int, kind: FaultKind, code: str, message: str) -> str:
        """What happened and what to do, for a person."""
        stop = "" if message.endswith((".", "!", "?")) else "."
        detail = f" It says: {message}{stop}" if message else ""
        if kind == "auth":
            what = "this request, or the API key" if status == 403 else "the API key"
            return (
                f"{self.vendor} refused {what} for {self.name} ({status}{', ' + code if code else ''}).{detail} "
                "Check the environment variable that holds it, and that its project may use this model."
            )
        if kind == "not_found" and "v1/responses" in message:
            return (
                f"{self.vendor} answers for {self.name} only on /v1/responses.{detail} Write openai-responses/{self.name} in "
                f"distil.yaml"
                f"{'' if self.vendor == 'OpenAI' else f', with base_urls: [{self.base_url}]'}."
            )
        if kind == "not_found":
            return (
                f"{self.vendor} at {self.base_url} has no model {self.name!r} ({status}).{detail} "
                f"Look at {self.base_url}/models for the names it knows, and correct `model` in distil.yaml."
            )
        if kind == "filtered":
            return f"A content filter refused this prompt ({status}{', ' + code if code else ''}).{detail}"
        if kind == "quota":
            account = f"The account at {self.base_url} has no quota or money left ({code or status})."
            return f"{account}{detail} Add credit, then run again."
        if code == "context_length_exceeded":
            return (
                f"Prompt and max_tokens are too long for {self.name}.{detail} Shorten the prompt or lower max_tokens."
            )
        if code == "unsupported_value" and "temperature" in message:
            detail += " Write sampling: {temperature: 1.0} under this model."
        return f"{self.vendor} answered {status}{' ' + code if code else ''}.{detail}"

    def limits(self, headers: Mapping[str, str]) -> LimitHint:
        """OpenAI's `x-ratelimit-*` headers, which many others send too."""
        return common.read_limits(common.lowered(headers), LIMIT_HEADERS)


class CompatibleProvider(ChatProvider):
    """Any server that copied `POST /v1/chat/completions` (vLLM, SGLang, Ollama, llama.cpp), and vendors with such an API."""

    def ignored(self, request: Request) -> list[str]:
        """Behind a gateway, a model of OpenAI's refuses what it refuses at OpenAI."""
        return openai_names.ignored(self.name, request.sampling)

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


def wire_message(message: Message) -> JsonObject:
    """A turn as chat APIs take it: without what only fine-tuning files carry, and which some APIs refuse."""
    wire = message.to_wire()
    wire.pop("weight", None)
    wire.pop("reasoning_content", None)
    return wire


def _tier(tier: Any) -> str | None:
    if not isinstance(tier, str):
        return None
    return "flex" if tier == "flex" else "standard"
