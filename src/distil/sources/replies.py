"""What was answered: a reply of any provider, a message, or a text, in the terms of `Parsed`.

Bodies of providers are read by the providers' own readers (calls/providers/), so that a log means what the reply meant.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Literal, NamedTuple

from distil.calls.faults import GarbledReply
from distil.calls.providers import chat_message, reading
from distil.calls.providers.anthropic import AnthropicProvider
from distil.calls.providers.base import HttpProvider, Parsed
from distil.calls.providers.bedrock import BedrockProvider
from distil.calls.providers.chat import ChatProvider
from distil.calls.providers.google import GoogleProvider
from distil.calls.providers.responses import ResponsesProvider
from distil.calls.providers.usage import tokens
from distil.calls.request import JsonObject
from distil.records import Usage
from distil.sources.parts import Part, read_part
from distil.sources.turns import ROLES, read_turns, unwrapped
from distil.sources.values import first_text, mapping, objects, parsed
from distil.text import one_line
from distil.thinking import combine

Wire = Literal["chat", "anthropic", "google", "responses", "bedrock"]
INSIDE = ("body", "response_body", "response", "modelOutput", "outputBodyJson", "message", "data", "output", "result")
"""Names under which a reply lies inside another object."""
TEXTS = (
    "text",
    "content",
    "output_text",
    "generated_text",
    "completion",
    "answer",
    "outputText",
    "generation",
    "value",
)
_BESIDE = """
type model id object created created_at usage usage_metadata metrics usageDetails usageMetadata finish_reason stop_reason done
done_reason status status_code statusCode response_status headers error index logprobs generation_info additional_kwargs
response_metadata reasoning thinking reasoning_content latency request_id inputContentType outputContentType outputTokenCount
refusal annotations name llm_output run timestamp raw
"""
_KNOWN = frozenset({*INSIDE, *TEXTS, *_BESIDE.split()})
"""What stands around an answer; an object with other keys is one itself."""
_USAGES = ("usage", "usage_metadata", "usageMetadata", "token_usage", "usageDetails", "metrics")
_STOPS = ("finish_reason", "stop_reason", "done_reason", "finishReason", "stopReason")


class Answered(NamedTuple):
    """A reply."""

    parsed: Parsed
    """Its usage is zero where the log has none."""
    model: str = ""
    """The model that answered, where the reply says so."""
    request_id: str = ""
    body: JsonObject | None = None
    """The provider's own reply, where the log has it whole."""
    wire: Wire | None = None
    """Whose reply it is."""


def read_reply(value: object, levels: int = 5, *, stored: bool = False) -> Answered | None:
    """None where nothing was answered. stored: an object of unknown shape is a JSON answer, as tracing tools keep it.

    Raises GarbledReply for an error, a stream, or an answer that broke off.
    """
    whole = _opened(value)
    if isinstance(whole, str):
        return _plain(whole)
    if isinstance(whole, list):
        return _of_list(whole, levels)
    if not isinstance(whole, dict) or not levels:
        return None
    if whole.get("error") and not any(whole.get(key) for key in ("choices", "output", "content", "candidates")):
        error = whole["error"]
        said = first_text(error, ("message", "type", "code")) if isinstance(error, dict) else str(error)
        raise GarbledReply(f"the reply is an error: {one_line(said or 'without words', 80)}")
    wire = wire_of(whole)
    if wire is not None:
        body = json.dumps(whole, default=str).encode()
        model = first_text(whole, ("model", "modelVersion")) or ""
        return Answered(_PARSERS[wire].parse(200, {}, body), model, str(whole.get("id") or ""), whole, wire)
    return _of_object(whole, levels, stored)


def _opened(value: object) -> object:
    """A body or a turn that is written as text; any other text is the answer itself, also where it is JSON."""
    found = parsed(value)
    if not isinstance(value, str) or isinstance(found, str):
        return found
    items = [found] if isinstance(found, dict) else objects(found)
    signs = ("role", "generations", "kwargs")
    own = [item for item in items if wire_of(item) is not None or any(item.get(sign) for sign in signs)]
    return found if own or (len(items) == 1 and isinstance(items[0].get("error"), dict)) else value


_PARSERS: dict[Wire, HttpProvider] = {
    "chat": ChatProvider("logged", "", None),
    "anthropic": AnthropicProvider("logged", "", None),
    "google": GoogleProvider("logged", "", None),
    "responses": ResponsesProvider("logged", "", None),
    "bedrock": BedrockProvider("logged", "", None),
}


def wire_of(body: Mapping[str, object]) -> Wire | None:
    """Whose reply an object is; None where it is none."""
    if isinstance(body.get("choices"), list):
        return "chat"
    if isinstance(body.get("candidates"), list):
        return "google"
    output, content = body.get("output"), body.get("content")
    if isinstance(output, list) and (
        body.get("object") == "response" or any("type" in item for item in objects(output))
    ):
        typed = any(item.get("type") in ("message", "function_call", "reasoning") for item in objects(output))
        return "responses" if typed or body.get("object") == "response" else None
    if isinstance(output, dict) and isinstance(output.get("message"), dict):
        return "bedrock"
    if isinstance(content, list) and (body.get("type") == "message" or "stop_reason" in body):
        return "anthropic"
    return None


def _of_list(value: list[object], levels: int) -> Answered | None:
    """The last turn of a conversation, choices of a completion (Braintrust), items of a response, or LangChain's generations."""
    items = objects(value)
    if not items:
        inner = value[0] if value else None
        return read_reply(inner, levels - 1) if isinstance(inner, (list, str)) and levels else None
    if any("message" in item and ("finish_reason" in item or "index" in item) for item in items):
        return read_reply({"choices": items}, levels - 1)
    if any(item.get("type") in ("function_call", "reasoning") or item.get("type") == "message" for item in items):
        return read_reply({"object": "response", "output": items}, levels - 1)
    if any("generation_info" in item or "generated_text" in item for item in items):
        return read_reply(items[0], levels - 1)
    if any(item.get("type") == "text" or item.get("type") == "tool_use" for item in items) and "role" not in items[-1]:
        return Answered(_of_parts([read_part(item) for item in items], {}))
    return _message(items[-1])


def _of_object(value: JsonObject, levels: int, stored: bool) -> Answered | None:
    if value.get("generations"):  # LangChain
        found = read_reply(value["generations"], levels - 1)
        usage = _usage({**mapping(value.get("llm_output")), **value})
        return found and found._replace(parsed=found.parsed.model_copy(update={"usage": usage})) if usage else found
    if isinstance(value.get("messages"), list) and value["messages"]:
        return _message(objects(value["messages"])[-1]) if objects(value["messages"]) else None
    if value.get("role") or value.get("kwargs") or value.get("tool_calls") or isinstance(value.get("parts"), list):
        return _message(value)
    for key in INSIDE:
        inner = _opened(value.get(key))
        if isinstance(inner, dict) and (wire_of(inner) is not None or inner.get("role") == "assistant"):
            _refuse_failed(value)
            found = read_reply(inner, levels - 1)
            return found and _with(found, value)
    if value.keys() - _KNOWN:
        if not stored:
            return None
        return Answered(_said({"content": json.dumps(value, ensure_ascii=False, default=str)}))
    _refuse_failed(value)
    for key in INSIDE:
        inner = _opened(value.get(key))
        if isinstance(inner, (dict, list)) and inner and (found := read_reply(inner, levels - 1, stored=stored)):
            return _with(found, value)
    text = next((value[key] for key in (*TEXTS, *INSIDE) if isinstance(value.get(key), str)), None)
    if text is None and isinstance(value.get("content"), list):
        return _message({"role": "assistant", **value})
    found = _plain(text or "")
    return found and _with(found, value)


def _plain(text: str) -> Answered | None:
    if text.lstrip().startswith(("data: {", "event: ")):
        raise GarbledReply("the log holds a stream of events instead of a whole reply")
    return Answered(_said({"content": text})) if text.strip() else None


def _refuse_failed(value: JsonObject) -> None:
    for name in ("status_code", "statusCode", "response_status", "status"):
        if isinstance(status := value.get(name), int) and status >= 400:
            raise GarbledReply(f"the request failed ({status})")


def _with(found: Answered, outer: JsonObject) -> Answered:
    """The reply with what is beside it: its model, its usage, why it ended."""
    update: dict[str, object] = {}
    usage = _usage(outer)
    if usage is not None and found.parsed.usage == Usage():
        update["usage"] = usage
    reason = first_text(outer, _STOPS)
    if reason and found.body is None:
        update["finish_reason"] = reason
    model = found.model or first_text(outer, ("model",)) or ""
    made = reading.finished(found.parsed.model_copy(update=update)) if update else found.parsed
    return found._replace(parsed=made, model=model)


def _message(turn: JsonObject) -> Answered | None:
    """The assistant's turn of a conversation; None where it is somebody else's."""
    inner = unwrapped(mapping(turn.get("message")) or turn)
    role = str(inner.get("role", inner.get("from", inner.get("type", "assistant")))).lower()
    if ROLES.get(role.removesuffix("messagechunk").removesuffix("message"), "assistant") != "assistant":
        return None
    thinking, content = chat_message.thinking(inner), inner.get("content")
    parts_of = content if isinstance(content, list) else inner.get("parts")
    if isinstance(parts_of, list) and not inner.get("tool_calls"):
        return Answered(_of_parts([read_part(part) for part in parts_of], {**turn, **inner}, thinking))
    if not isinstance(content, (str, type(None))) or "from" in inner or not _standard(inner.get("tool_calls")):
        turns = objects(read_turns([inner], Counter()))
        if not turns or turns[-1].get("role") != "assistant":
            return None
        return Answered(_said({**turns[-1], **_ending(inner)}))
    refusal = inner.get("refusal")
    said = {
        **_ending({**turn, **inner}),
        **inner,
        "content": content or (refusal if isinstance(refusal, str) else None),
    }
    if not said["content"] and not inner.get("tool_calls") and not inner.get("function_call"):
        return None
    return Answered(_said(said), str(turn.get("model") or ""))


def _standard(calls: object) -> bool:
    """Tool calls in OpenAI's shape, or none."""
    return not calls or all(isinstance(mapping(call.get("function")).get("name"), str) for call in objects(calls))


def _ending(turn: JsonObject) -> JsonObject:
    extra = {**mapping(turn.get("response_metadata")), **turn}
    found = {
        "finish_reason": first_text(extra, _STOPS),
        "usage": next((extra[k] for k in _USAGES if extra.get(k)), None),
    }
    return {key: value for key, value in found.items() if value}


def _of_parts(parts: list[Part], turn: JsonObject, thinking: str | None = None) -> Parsed:
    said: JsonObject = {
        "content": "".join(part.text for part in parts if part.kind == "text"),
        "tool_calls": [part.value for part in parts if part.kind == "call"] or None,
        "reasoning_content": thinking or "\n".join(part.text for part in parts if part.kind == "thinking") or None,
    }
    return _said(said | _ending(turn))


def _said(message: JsonObject) -> Parsed:
    """A message in chat's shape as a reply, with the thinking parted. Raises GarbledReply where it broke off."""
    text, inline = chat_message.content(message)
    calls = chat_message.tool_calls(message)
    reason = first_text(message, _STOPS)
    return reading.finished(
        Parsed(
            text=text,
            reasoning=combine(chat_message.thinking(message), inline),
            tool_calls=calls,
            finish_reason=reason or ("tool_calls" if calls else "stop"),
            usage=_usage(message) or Usage(),
        )
    )


def _usage(outer: Mapping[str, object]) -> Usage | None:
    """As recorded; None where there is none."""
    usage = next((found for key in _USAGES if (found := mapping(outer.get(key)))), None)
    if usage is None:
        return None
    names = {
        "input_tokens": ("input_tokens", "prompt_tokens", "promptTokenCount", "inputTokens", "input", "prompt"),
        "output_tokens": (
            "output_tokens",
            "completion_tokens",
            "candidatesTokenCount",
            "outputTokens",
            "output",
            "completion",
        ),
    }
    read = {name: next((n for key in keys if (n := tokens(usage, key))), 0) for name, keys in names.items()}
    return Usage(**read) if any(read.values()) else None
