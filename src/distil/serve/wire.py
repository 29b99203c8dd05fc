"""OpenAI's chat wire format, server side: what a request and a reply are here, and a reply as a body or a stream.

Pure functions, no HTTP and no model. A body becomes a ChatRequest in parse.py.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from distil.errors import DistilError
from distil.records import Message, Sampling, ToolChoice, Usage

JsonObject: TypeAlias = dict[str, Any]

Beyond = Literal["not_text", "unknown_parameter", "stop_sequences"]
"""Why a request is not one of those that a threshold was found for."""


class BadRequest(DistilError):
    """A request that can't be answered, in OpenAI's error shape."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.param, self.code, self.status = param, code, status
        self.retry_after_s: int | None = None

    def body(self) -> JsonObject:
        """The JSON body of the reply."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        if self.status == 429:
            kind = "insufficient_quota" if self.code == "insufficient_quota" else "requests"
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


class Overloaded(BadRequest):
    """Too many requests are waiting already."""

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} requests are already waiting; try again shortly.", code="overloaded", status=503)
        self.retry_after_s = 1


class TooLong(BadRequest):
    """The conversation does not fit into the student's context."""

    def __init__(self, message: str) -> None:
        super().__init__(message, param="messages", code="context_length_exceeded")


class EngineFailed(BadRequest):
    """A model could not answer. `detail` is for the gateway's log: it may name addresses, which a client is not told."""

    def __init__(self, message: str, *, status: int = 502, detail: str = "") -> None:
        super().__init__(message, code="engine_failed", status=status)
        self.detail = detail


class ShuttingDown(EngineFailed):
    """The gateway ends before the answer is there; another one may take over."""

    def __init__(self) -> None:
        super().__init__("The gateway is shutting down; try again.", status=503)
        self.code, self.retry_after_s = "shutting_down", 1


@dataclass(frozen=True)
class Caller:
    """Who asks."""

    request_id: str = ""
    """In the reply's header, in errors and in the log."""
    key: str | None = None
    """The name of the API key; None where none is needed."""
    deadline_s: float | None = None
    """Seconds that an answer may take; None = as long as it needs."""


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
    parallel_calls: bool = True
    """False: an answer makes at most one call."""
    stream: bool = False
    include_usage: bool = False
    """Whether a stream ends with a chunk that holds the usage."""
    logprobs: bool = False
    samples: int = 1
    """How many answers the client wants (OpenAI's `n`)."""
    sample: int = 0
    """Which of them this is."""
    further: JsonObject = field(default_factory=dict)
    """Parameters that only a teacher may know, as the client wrote them."""
    beyond: Beyond | None = None
    """Why only the teacher may answer, where there is one; None: the student may."""
    beyond_name: str = ""
    """The parameter or part that is meant."""
    body: JsonObject = field(default_factory=dict)
    """The request as it came, for an upstream server."""
    caller: Caller = Caller()


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
    reasoning: str = ""
    """The student's thinking, which the text does not have; clients know it as `reasoning_content`."""
    usd: float = 0.0
    """What it cost now; 0 for the student's, and for an answer that the ledger had."""
    call_id: str = ""
    """The teacher's answer in the ledger; "" for the student's."""


def completion(request: ChatRequest, replies: Sequence[ChatReply], fingerprint: str) -> JsonObject:
    """The body of a reply that is not streamed: one choice for each answer, and the tokens of all."""
    head = reply_head(request, fingerprint, "chat.completion")
    choices = [_choice(request, reply, index) for index, reply in enumerate(replies)]
    return head | {"choices": choices, "usage": usage_body(summed(reply.usage for reply in replies))}


def _choice(request: ChatRequest, reply: ChatReply, index: int) -> JsonObject:
    message: JsonObject = {"role": "assistant", "content": reply.text, "refusal": None}
    if reply.tool_calls:
        message |= {"content": reply.text or None, "tool_calls": reply.tool_calls}
    if reply.reasoning:
        message["reasoning_content"] = reply.reasoning
    return {
        "index": index,
        "message": message,
        "logprobs": {"content": reply.logprobs, "refusal": None} if request.logprobs else None,
        "finish_reason": reply.finish_reason,
    }


compact_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""JSON text without spaces. Made once: json.dumps would make an encoder for each reply."""


def wire_bytes(text: str) -> bytes:
    """A text in UTF-8; half of a surrogate pair becomes a question mark."""
    return text.encode("utf-8", "replace")


def sse(value: Mapping[str, object]) -> bytes:
    """One server-sent event."""
    return wire_bytes(f"data: {compact_json(value)}\n\n")


def summed(usages: Iterable[Usage]) -> Usage:
    """The tokens of several answers; each of them was asked for with the whole prompt."""
    several = list(usages)
    if len(several) == 1:
        return several[0]
    return Usage(**{name: sum(getattr(usage, name) for usage in several) for name in Usage.model_fields})


def usage_body(usage: Usage) -> JsonObject:
    """Token counts in OpenAI's shape."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def reply_head(request: ChatRequest, fingerprint: str, kind: str = "chat.completion.chunk") -> JsonObject:
    """The fields with which a reply, and each event of a stream, begins."""
    return {
        "id": f"chatcmpl-{os.urandom(16).hex()}",
        "object": kind,
        "created": int(time.time()),
        "model": request.model,
        "system_fingerprint": fingerprint,
    }
