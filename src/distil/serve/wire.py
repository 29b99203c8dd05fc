"""OpenAI's chat wire format, server side: a body becomes a ChatRequest, a ChatReply becomes a body or a stream.

Pure functions, no HTTP and no model.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from pydantic import ValidationError

from distil.errors import DistilError
from distil.records import Message, Sampling, ToolChoice, Usage
from distil.runs.jsonl import describe

JsonObject: TypeAlias = dict[str, Any]
T = TypeVar("T")

_UNSUPPORTED = {"n": 1, "frequency_penalty": 0, "presence_penalty": 0, "logit_bias": {}}
_PIECE = re.compile(r"\S+\s*|\s+")


class BadRequest(DistilError):
    """A request that can't be answered, in OpenAI's error shape."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.param, self.code, self.status = param, code, status
        self.retry_after_s: int | None = None

    def body(self) -> JsonObject:
        """The JSON body of the reply."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


class Overloaded(BadRequest):
    """Too many requests are waiting already."""

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} requests are already waiting; try again shortly.", code="overloaded", status=503)
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
    """What the client named; temperature and max_tokens have the gateway's defaults where it named none."""
    tools: list[JsonObject] | None = None
    tool_choice: ToolChoice | None = None
    """None: the model chooses."""
    response_format: JsonObject | None = None
    stream: bool = False
    include_usage: bool = False
    """Whether a stream ends with a chunk that holds the usage."""
    logprobs: bool = False
    body: JsonObject = field(default_factory=dict)
    """The request as it came, for an upstream server."""


@dataclass(frozen=True)
class ChatReply:
    """A model's answer."""

    text: str
    finish_reason: str
    usage: Usage
    tool_calls: list[JsonObject] | None = None
    token_logprobs: list[float] = field(default_factory=list)
    """Natural log-probability per token at temperature 1; empty where the model gives none."""
    token_entropies: list[float] = field(default_factory=list)
    """Nats per token; empty where the model gives none."""
    logprobs: list[JsonObject] | None = None
    """OpenAI's `logprobs.content`, where the client asked for it."""


def parse_request(raw: bytes, *, served: str, temperature: float, max_tokens: int) -> ChatRequest:
    """Reads and checks a request to the model `served`. Raises BadRequest that names the parameter."""
    try:
        body = json.loads(raw)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"The body is not valid JSON: {error}.") from None
    if not isinstance(body, dict):
        raise BadRequest(f"The body is a JSON {type(body).__name__}, expected an object.")
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequest("You must provide a model parameter.", param="model")
    if model != served:
        message = f"The model {model!r} does not exist here. Served: {served}."
        raise BadRequest(message, param="model", code="model_not_found", status=404)
    for name, neutral in _UNSUPPORTED.items():
        if body.get(name) not in (None, neutral, False if neutral == 0 else neutral):
            raise BadRequest(f"{name} = {body[name]!r} is not supported, only {neutral!r}.", param=name)
    return ChatRequest(
        model=model,
        messages=_messages(body.get("messages")),
        sampling=_sampling(body, temperature, max_tokens),
        tools=_typed(body, "tools", list),
        tool_choice=_tool_choice(body),
        response_format=_typed(body, "response_format", dict),
        stream=bool(_typed(body, "stream", bool)),
        include_usage=bool((_typed(body, "stream_options", dict) or {}).get("include_usage")),
        logprobs=bool(_typed(body, "logprobs", bool)),
        body=body,
    )


def _messages(turns: object) -> list[Message]:
    if not isinstance(turns, list) or not turns:
        raise BadRequest("messages must be a list with at least one message.", param="messages")
    messages = []
    for index, turn in enumerate(turns):
        try:
            messages.append(Message.read(turn))
        except ValidationError as error:
            raise BadRequest(f"messages.{index}: {describe(error)}.", param=f"messages.{index}") from None
    if not any(m.text.strip() or isinstance(m.content, list) or m.tool_calls for m in messages):
        raise BadRequest("No message has any text.", param="messages")
    return messages


def _sampling(body: JsonObject, temperature: float, max_tokens: int) -> Sampling:
    stop = body.get("stop")
    fields = {
        "temperature": body.get("temperature"),
        "top_p": body.get("top_p"),
        "max_tokens": body.get("max_tokens")
        if body.get("max_completion_tokens") is None
        else body["max_completion_tokens"],
        "stop": [stop] if isinstance(stop, str) else stop or None,
        "seed": body.get("seed"),
        "top_logprobs": body.get("top_logprobs"),
    }
    if fields["top_logprobs"] is not None and not body.get("logprobs"):
        raise BadRequest("top_logprobs needs logprobs: true.", param="top_logprobs")
    named = {name: value for name, value in fields.items() if value is not None}
    try:
        return Sampling.model_validate({"temperature": temperature, "top_p": 1.0, "max_tokens": max_tokens} | named)
    except ValidationError as error:
        raise BadRequest(f"{describe(error)}.", param=str(error.errors()[0]["loc"][0])) from None


def _typed(body: JsonObject, name: str, kind: type[T]) -> T | None:
    value = body.get(name)
    if value is not None and not isinstance(value, kind):
        raise BadRequest(f"{name} is a JSON {type(value).__name__}, expected {kind.__name__}.", param=name)
    return value or None


def _tool_choice(body: JsonObject) -> ToolChoice | None:
    choice = body.get("tool_choice")
    if choice in (None, "auto") or not body.get("tools"):
        return None
    if choice in ("none", "required") or isinstance(choice, dict):
        return choice
    raise BadRequest(f"tool_choice = {choice!r} is not auto, none, required or a tool.", param="tool_choice")


def completion(request: ChatRequest, reply: ChatReply, fingerprint: str) -> JsonObject:
    """The body of a reply that is not streamed."""
    message: JsonObject = {"role": "assistant", "content": reply.text, "refusal": None}
    if reply.tool_calls:
        message |= {"content": reply.text or None, "tool_calls": reply.tool_calls}
    choice = {
        "index": 0,
        "message": message,
        "logprobs": {"content": reply.logprobs, "refusal": None} if request.logprobs else None,
        "finish_reason": reply.finish_reason,
    }
    return _head("chat.completion", request, fingerprint) | {"choices": [choice], "usage": _usage(reply.usage)}


def stream(request: ChatRequest, reply: ChatReply, fingerprint: str) -> Iterator[bytes]:
    """A finished answer as server-sent events, word by word, with `[DONE]` at the end."""
    head = _head("chat.completion.chunk", request, fingerprint)

    def event(delta: JsonObject, finish: str | None = None, logprobs: JsonObject | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return sse(head | {"choices": [choice]} | ({"usage": None} if request.include_usage else {}))

    yield event({"role": "assistant", "content": ""})
    for piece in _PIECE.findall(reply.text):
        yield event({"content": piece})
    if reply.tool_calls:
        yield event({"tool_calls": [{"index": i} | call for i, call in enumerate(reply.tool_calls)]})
    logprobs = {"content": reply.logprobs, "refusal": None} if request.logprobs and reply.logprobs else None
    yield event({}, reply.finish_reason, logprobs)
    if request.include_usage:
        yield sse(head | {"choices": [], "usage": _usage(reply.usage)})
    yield b"data: [DONE]\n\n"


def sse(value: Mapping[str, object]) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def _usage(usage: Usage) -> JsonObject:
    """Token counts in OpenAI's shape."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _head(kind: str, request: ChatRequest, fingerprint: str) -> JsonObject:
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": request.model,
        "system_fingerprint": fingerprint,
    }
