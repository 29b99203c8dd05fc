"""An answer in the shape of Anthropic's messages, as a body and as its sequence of events."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Iterator

from distil.endings import ending
from distil.records import Usage
from distil.serve.engines.piece import Piece, whole
from distil.serve.streaming import WORDS
from distil.serve.wire import ChatReply, ChatRequest, EngineFailed, JsonObject, compact_json, wire_bytes

_STOPS = {"length": "max_tokens", "tool_calls": "tool_use", "function_call": "tool_use", "content_filter": "refusal"}


def message_body(request: ChatRequest, reply: ChatReply) -> JsonObject:
    """The body of a reply that is not streamed. Raises EngineFailed for calls whose arguments can't be read."""
    return _head(request, reply.usage) | {
        "content": _blocks(reply),
        "stop_reason": _stop_reason(reply),
        "stop_sequence": None,
    }


def message_events(request: ChatRequest, reply: ChatReply) -> Iterator[bytes]:
    """message_start, the blocks with their deltas, message_delta with the usage, message_stop. Raises EngineFailed."""
    blocks = _blocks(reply)
    opening = reply.usage.model_copy(update={"output_tokens": 1})
    started = _head(request, opening) | {"content": [], "stop_reason": None, "stop_sequence": None}
    return _events(blocks, started, reply)


def _events(blocks: list[JsonObject], started: JsonObject, reply: ChatReply) -> Iterator[bytes]:
    yield event("message_start", {"message": started})
    for index, block in enumerate(blocks):
        called = block["type"] == "tool_use"
        nothing: JsonObject = {"input": {}} if called else {"text": ""}
        empty = block | nothing
        yield event("content_block_start", {"index": index, "content_block": empty})
        for piece in [json.dumps(block["input"], ensure_ascii=False)] if called else WORDS.findall(block["text"]):
            delta = {"type": "input_json_delta", "partial_json": piece} if called else _text_delta(piece)
            yield event("content_block_delta", {"index": index, "delta": delta})
        yield event("content_block_stop", {"index": index})
    told = {"stop_reason": _stop_reason(reply), "stop_sequence": None}
    yield event("message_delta", {"delta": told, "usage": {"output_tokens": reply.usage.output_tokens}})
    yield event("message_stop", {})


async def live_message_events(request: ChatRequest, pieces: AsyncIterator[Piece]) -> AsyncIterator[bytes]:
    """The events of an answer that is being generated, its usage in message_delta. Raises what `pieces` raises."""
    started = _head(request, Usage()) | {"content": [], "stop_reason": None, "stop_sequence": None}
    yield event("message_start", {"message": started})
    came: list[Piece] = []
    block, called = -1, -1  # the open block, and the call that it is
    async for piece in pieces:
        came.append(piece)
        if piece.text:
            if block < 0 or called >= 0:  # also behind a call, whose block takes no text
                if block >= 0:
                    yield event("content_block_stop", {"index": block})
                block, called = block + 1, -1
                yield event("content_block_start", {"index": block, "content_block": {"type": "text", "text": ""}})
            yield event("content_block_delta", {"index": block, "delta": _text_delta(piece.text)})
        for part in piece.tool_calls:
            if (part.get("index") or 0) != called:
                if block >= 0:
                    yield event("content_block_stop", {"index": block})
                block, called = block + 1, part.get("index") or 0
                yield event("content_block_start", {"index": block, "content_block": _tool_use(part, begun=True)})
            arguments = (part.get("function") or {}).get("arguments")
            if arguments:
                delta = {"type": "input_json_delta", "partial_json": arguments}
                yield event("content_block_delta", {"index": block, "delta": delta})
    if block >= 0:
        yield event("content_block_stop", {"index": block})
    reply = whole(came)
    told, usage = {"stop_reason": _stop_reason(reply), "stop_sequence": None}, _head(request, reply.usage)["usage"]
    yield event("message_delta", {"delta": told, "usage": usage})
    yield event("message_stop", {})


def event(kind: str, value: JsonObject) -> bytes:
    """One named server-sent event."""
    return wire_bytes(f"event: {kind}\ndata: {compact_json({'type': kind} | value)}\n\n")


def _text_delta(text: str) -> JsonObject:
    return {"type": "text_delta", "text": text}


def _blocks(reply: ChatReply) -> list[JsonObject]:
    """The text, unless there are only calls, and the calls."""
    calls = [_tool_use(call) for call in reply.tool_calls or ()]
    text: list[JsonObject] = [{"type": "text", "text": reply.text}] if reply.text or not calls else []
    return text + calls


def _tool_use(call: JsonObject, *, begun: bool = False) -> JsonObject:
    """begun: the arguments are still to come."""
    function = call.get("function") or {}
    try:
        arguments = {} if begun else json.loads(function.get("arguments") or "{}")
    except (ValueError, TypeError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        raise EngineFailed("The answer calls a tool with arguments that are not a JSON object.")
    name = call.get("id") or f"toolu_{uuid.uuid4().hex[:24]}"
    return {"type": "tool_use", "id": name, "name": function.get("name") or "", "input": arguments}


def _stop_reason(reply: ChatReply) -> str:
    """Anthropic's word. Which stop sequence ended an answer is not known here: that is `end_turn` too."""
    if reply.tool_calls:
        return "tool_use"
    if ending(reply.finish_reason) == "truncated":
        return "max_tokens"
    return _STOPS.get(reply.finish_reason, "end_turn")


def _head(request: ChatRequest, usage: Usage) -> JsonObject:
    """Anthropic counts what came from the cache, or went into it, apart."""
    written = usage.cache_write_tokens
    return {
        "id": f"msg_{uuid.uuid4().hex[:24]}",
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "usage": {
            "input_tokens": max(0, usage.input_tokens - usage.cached_tokens - written),
            "cache_creation_input_tokens": written,
            "cache_read_input_tokens": usage.cached_tokens,
            "output_tokens": usage.output_tokens,
        },
    }
