"""An answer from a log as a reply of the teacher's own API, which is what the ledger keeps and reads again.

A reply that the log has whole stays as it was sent, without what logs add to it. Any other answer is written in the API's shape.
"""

from __future__ import annotations

from collections.abc import Mapping

from distil.calls.providers.anthropic import AnthropicProvider
from distil.calls.providers.base import HttpProvider, Parsed
from distil.calls.providers.bedrock import BedrockProvider
from distil.calls.providers.blocks import arguments
from distil.calls.providers.chat import ChatProvider
from distil.calls.providers.google import GoogleProvider
from distil.calls.providers.responses import ResponsesProvider
from distil.calls.request import JsonObject
from distil.endings import ending
from distil.sources.replies import Answered, Wire

FIELDS: dict[Wire, frozenset[str]] = {
    "chat": frozenset({"id", "object", "created", "model", "choices", "usage", "service_tier", "system_fingerprint"}),
    "responses": frozenset(
        {"id", "object", "created_at", "model", "output", "usage", "status", "incomplete_details", "service_tier"}
    ),
    "anthropic": frozenset({"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"}),
    "google": frozenset({"candidates", "usageMetadata", "modelVersion", "responseId", "promptFeedback"}),
    "bedrock": frozenset({"output", "stopReason", "usage", "metrics"}),
}
"""The fields of each API's reply that are kept: a log may hold headers, and headers hold keys."""


def wire_of_provider(provider: HttpProvider) -> Wire | None:
    """The shape of a provider's replies; None for one that no log can be written for."""
    shapes: tuple[tuple[type, Wire], ...] = (
        (ResponsesProvider, "responses"),  # before chat, which it is a kind of
        (ChatProvider, "chat"),
        (AnthropicProvider, "anthropic"),
        (GoogleProvider, "google"),
        (BedrockProvider, "bedrock"),
    )
    return next((wire for kind, wire in shapes if isinstance(provider, kind)), None)


def reply_body(answer: Answered, wire: Wire) -> JsonObject:
    """The answer as a reply of that API."""
    if answer.body is not None and answer.wire == wire:
        return selected(answer.body, FIELDS[wire])
    return _WRITERS[wire](answer)


def selected(body: Mapping[str, object], fields: frozenset[str]) -> JsonObject:
    """The body with only those fields."""
    return {name: value for name, value in body.items() if name in fields}


def _chat(answer: Answered) -> JsonObject:
    said, usage = answer.parsed, answer.parsed.usage
    message: JsonObject = {"role": "assistant", "content": said.text or None}
    if said.tool_calls:
        message["tool_calls"] = said.tool_calls
    if said.reasoning:
        message["reasoning_content"] = said.reasoning
    return {
        **_named(answer),
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": said.finish_reason}],
        "usage": {"prompt_tokens": usage.input_tokens, "completion_tokens": usage.output_tokens},
    }


def _responses(answer: Answered) -> JsonObject:
    said = answer.parsed
    output: list[JsonObject] = []
    if said.reasoning:
        output.append({"type": "reasoning", "summary": [{"type": "summary_text", "text": said.reasoning}]})
    if said.text or not said.tool_calls:
        content = [{"type": "output_text", "text": said.text, "annotations": []}]
        output.append({"type": "message", "role": "assistant", "status": "completed", "content": content})
    output += [
        {"type": "function_call", "call_id": call.get("id", ""), **call["function"]} for call in said.tool_calls or []
    ]
    cut, refused = ending(said.finish_reason) == "cut", ending(said.finish_reason) == "refused"
    reason = {"reason": "max_output_tokens" if cut else "content_filter"}
    return {
        **_named(answer),
        "object": "response",
        "status": "incomplete" if cut or refused else "completed",
        "incomplete_details": reason if cut or refused else None,
        "output": output,
        "usage": _tokens(said),
    }


def _anthropic(answer: Answered) -> JsonObject:
    said = answer.parsed
    content: list[JsonObject] = [{"type": "thinking", "thinking": said.reasoning}] if said.reasoning else []
    if said.text or not said.tool_calls:
        content.append({"type": "text", "text": said.text})
    for call in said.tool_calls or []:
        name, values = call["function"]["name"], arguments(call["function"].get("arguments"))
        content.append({"type": "tool_use", "id": call.get("id", ""), "name": name, "input": values})
    stop = {"cut": "max_tokens", "refused": "refusal"}.get(
        ending(said.finish_reason), "tool_use" if said.tool_calls else "end_turn"
    )
    return {
        **_named(answer),
        "type": "message",
        "role": "assistant",
        "content": content,
        "stop_reason": stop,
        "usage": _tokens(said),
    }


def _google(answer: Answered) -> JsonObject:
    said = answer.parsed
    parts: list[JsonObject] = [{"text": said.reasoning, "thought": True}] if said.reasoning else []
    parts += [{"text": said.text}] if said.text or not said.tool_calls else []
    for call in said.tool_calls or []:
        values = arguments(call["function"].get("arguments"))
        parts.append({"functionCall": {"id": call.get("id"), "name": call["function"]["name"], "args": values}})
    stop = {"cut": "MAX_TOKENS", "refused": "SAFETY"}.get(ending(said.finish_reason), "STOP")
    usage = said.usage
    return {
        "candidates": [{"index": 0, "content": {"role": "model", "parts": parts}, "finishReason": stop}],
        "usageMetadata": {"promptTokenCount": usage.input_tokens, "candidatesTokenCount": usage.output_tokens},
        "modelVersion": answer.model,
    }


def _bedrock(answer: Answered) -> JsonObject:
    said, usage = answer.parsed, answer.parsed.usage
    content: list[JsonObject] = []
    if said.reasoning:
        content.append({"reasoningContent": {"reasoningText": {"text": said.reasoning}}})
    if said.text or not said.tool_calls:
        content.append({"text": said.text})
    for call in said.tool_calls or []:
        name, values = call["function"]["name"], arguments(call["function"].get("arguments"))
        content.append({"toolUse": {"toolUseId": call.get("id", ""), "name": name, "input": values}})
    stop = {"cut": "max_tokens", "refused": "content_filtered"}.get(ending(said.finish_reason), "end_turn")
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": "tool_use" if said.tool_calls and stop == "end_turn" else stop,
        "usage": {"inputTokens": usage.input_tokens, "outputTokens": usage.output_tokens},
    }


def _named(answer: Answered) -> JsonObject:
    return {name: value for name, value in (("id", answer.request_id), ("model", answer.model)) if value}


def _tokens(said: Parsed) -> JsonObject:
    return {"input_tokens": said.usage.input_tokens, "output_tokens": said.usage.output_tokens}


_WRITERS = {"chat": _chat, "responses": _responses, "anthropic": _anthropic, "google": _google, "bedrock": _bedrock}
