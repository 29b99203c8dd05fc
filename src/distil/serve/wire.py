"""OpenAI's chat wire format, server side: a request body becomes an Asked, an answer a body or a stream, a fault an error.

Pure functions, no HTTP and no model. Called by app.py.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from distil.errors import DistilError
from distil.records import Message, Sampling, Usage
from distil.runs.jsonl import describe

MAX_TOP_LOGPROBS = 20
_UNSUPPORTED = {"n": 1, "frequency_penalty": 0, "presence_penalty": 0, "logit_bias": {}}
_PIECE = re.compile(r"\S+\s*|\s+")


class BadRequest(DistilError):
    """A request that can't be answered, in OpenAI's error shape."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.param, self.code, self.status = param, code, status
        self.retry_after_s: int | None = None

    def body(self) -> dict[str, Any]:
        """The JSON body of the reply."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


class Overloaded(BadRequest):
    """Too many requests wait already."""

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} requests are waiting already; ask again shortly.", code="overloaded", status=503)
        self.retry_after_s = 1


class EngineFailed(BadRequest):
    """A model could not answer."""

    def __init__(self, message: str, *, status: int = 502) -> None:
        super().__init__(message, code="engine_failed", status=status)


@dataclass(frozen=True)
class ChatRequest:
    """One chat request, checked."""

    model: str
    messages: list[Message]
    sampling: Sampling
    """As the client asked; temperature and max_tokens have the gateway's defaults where it did not."""
    tools: list[dict[str, Any]] | None = None
    response_format: dict[str, Any] | None = None
    stream: bool = False
    include_usage: bool = False
    """Whether a stream ends with a chunk that holds the usage."""
    logprobs: bool = False
    explicit_temperature: bool = False
    """The client named a temperature."""
    body: dict[str, Any] = field(default_factory=dict)
    """The request as it came, for servers behind."""


@dataclass(frozen=True)
class ChatReply:
    """What an engine said."""

    text: str
    finish_reason: str
    usage: Usage
    tool_calls: list[dict[str, Any]] | None = None
    token_logprobs: list[float] = field(default_factory=list)
    """Natural log-probability per token, untempered; empty where the engine does not say."""
    token_entropies: list[float] = field(default_factory=list)
    """Nats per token; empty where the engine does not say."""
    logprobs: list[dict[str, Any]] | None = None
    """OpenAI's `logprobs.content`, where the client asked for it."""


def parse_request(raw: bytes, *, known_models: tuple[str, ...], temperature: float, max_tokens: int) -> ChatRequest:
    """Reads and checks a request body. Raises BadRequest that names the parameter."""
    try:
        body = json.loads(raw)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"The body is not valid JSON: {error}.") from None
    if not isinstance(body, dict):
        raise BadRequest(f"The body is a JSON {type(body).__name__}, expected an object.")
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequest("You must provide a model parameter.", param="model")
    if model not in known_models:
        known = ", ".join(known_models)
        raise BadRequest(
            f"The model {model!r} does not exist here. Served: {known}.",
            param="model",
            code="model_not_found",
            status=404,
        )
    for name, only in _UNSUPPORTED.items():
        if body.get(name) not in (None, only, False if only == 0 else only):
            raise BadRequest(f"{name} = {body[name]!r} is not supported, only {only!r}.", param=name)
    return ChatRequest(
        model=model,
        messages=_messages(body.get("messages")),
        sampling=_sampling(body, temperature, max_tokens),
        tools=_typed(body, "tools", list),
        response_format=_typed(body, "response_format", dict),
        stream=bool(_typed(body, "stream", bool)),
        include_usage=bool((_typed(body, "stream_options", dict) or {}).get("include_usage")),
        logprobs=bool(_typed(body, "logprobs", bool)),
        explicit_temperature=body.get("temperature") is not None,
        body=body,
    )


def _messages(found: Any) -> list[Message]:
    if not isinstance(found, list) or not found:
        raise BadRequest("messages must be a list with at least one message.", param="messages")
    messages = []
    for index, turn in enumerate(found):
        try:
            messages.append(Message.model_validate(turn))
        except ValidationError as error:
            raise BadRequest(f"messages.{index}: {describe(error)}.", param=f"messages.{index}") from None
    if not any(m.text.strip() or isinstance(m.content, list) or m.tool_calls for m in messages):
        raise BadRequest("No message has any text.", param="messages")
    return messages


def _sampling(body: Mapping[str, Any], temperature: float, max_tokens: int) -> Sampling:
    stop = body.get("stop")
    limits = [body[name] for name in ("max_completion_tokens", "max_tokens") if body.get(name) is not None]
    fields = {
        "temperature": body.get("temperature", temperature),
        "top_p": body.get("top_p", 1.0),
        "max_tokens": limits[0] if limits else max_tokens,
        "stop": [stop] if isinstance(stop, str) else stop or None,
        "seed": body.get("seed"),
        "top_logprobs": body.get("top_logprobs"),
    }
    if fields["top_logprobs"] is not None and not body.get("logprobs"):
        raise BadRequest("top_logprobs needs logprobs: true.", param="top_logprobs")
    try:
        given = {name: value for name, value in fields.items() if value is not None}
        return Sampling.model_validate(given | {"temperature": given.get("temperature", temperature)})
    except ValidationError as error:
        param = str(error.errors()[0]["loc"][0])
        raise BadRequest(f"{describe(error)}.", param=param) from None


def _typed(body: Mapping[str, Any], name: str, kind: type) -> Any:
    value = body.get(name)
    if value is not None and not isinstance(value, kind):
        raise BadRequest(f"{name} is a JSON {type(value).__name__}, expected {kind.__name__}.", param=name)
    return value or None


def new_id() -> str:
    """An id as OpenAI's completions have."""
    return f"chatcmpl-{uuid.uuid4().hex}"


def completion(asked: ChatRequest, answered: ChatReply, fingerprint: str) -> dict[str, Any]:
    """The body of a reply that is not streamed."""
    message: dict[str, Any] = {"role": "assistant", "content": answered.text or None, "refusal": None}
    if answered.tool_calls:
        message["tool_calls"] = answered.tool_calls
    elif answered.text == "":
        message["content"] = ""
    choice = {
        "index": 0,
        "message": message,
        "logprobs": {"content": answered.logprobs, "refusal": None} if asked.logprobs else None,
        "finish_reason": answered.finish_reason,
    }
    head = _head(new_id(), "chat.completion", asked, fingerprint)
    return head | {"choices": [choice], "usage": usage_body(answered.usage)}


def stream(asked: ChatRequest, answered: ChatReply, fingerprint: str) -> Iterator[bytes]:
    """A finished answer as server-sent events, word by word, with `[DONE]` at the end."""
    head = _head(new_id(), "chat.completion.chunk", asked, fingerprint)

    def event(delta: dict[str, Any], finish: str | None = None, logprobs: Any = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return sse(head | {"choices": [choice]} | ({"usage": None} if asked.include_usage else {}))

    yield event({"role": "assistant", "content": ""})
    for piece in _PIECE.findall(answered.text):
        yield event({"content": piece})
    if answered.tool_calls:
        yield event({"tool_calls": [{"index": i} | call for i, call in enumerate(answered.tool_calls)]})
    logprobs = {"content": answered.logprobs, "refusal": None} if asked.logprobs and answered.logprobs else None
    yield event({}, answered.finish_reason, logprobs)
    if asked.include_usage:
        yield sse(head | {"choices": [], "usage": usage_body(answered.usage)})
    yield b"data: [DONE]\n\n"


def sse(value: Mapping[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def usage_body(usage: Usage) -> dict[str, Any]:
    """Token counts in OpenAI's shape."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _head(id_: str, kind: str, asked: ChatRequest, fingerprint: str) -> dict[str, Any]:
    return {
        "id": id_,
        "object": kind,
        "created": int(time.time()),
        "model": asked.model,
        "system_fingerprint": fingerprint,
    }
