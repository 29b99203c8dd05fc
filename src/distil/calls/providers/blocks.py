"""Anthropic's content blocks, to and from OpenAI's chat shape: turns, tools, images, thinking.

Pure functions; anthropic.py puts them into a request and a reply.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from distil.calls.faults import GarbledReply
from distil.calls.providers.common import words
from distil.calls.request import JsonObject
from distil.records import Message, ToolChoice
from distil.text import instructions, spoken_turns


def conversation(messages: Sequence[Message]) -> tuple[str, list[JsonObject]]:
    """(system prompt, turns). Tool results become user turns; neighbors of one role are joined, as the API asks for."""
    system = instructions(messages, "\n\n")
    turns: list[JsonObject] = []
    for message in spoken_turns(messages):
        role = "assistant" if message.role == "assistant" else "user"
        content = _blocks(message)
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] = _as_list(turns[-1]["content"]) + _as_list(content)
        else:
            turns.append({"role": role, "content": content})
    return system, turns


def _blocks(message: Message) -> str | list[JsonObject]:
    if message.role == "tool":
        return [{"type": "tool_result", "tool_use_id": message.tool_call_id or "", "content": message.text}]
    if message.tool_calls:
        made = [{"type": "text", "text": message.text}] if message.text else []
        return made + [_tool_use(call) for call in message.tool_calls]
    if isinstance(message.content, list):
        return [_part(part) for part in message.content]
    return message.text


def _as_list(content: str | list[JsonObject]) -> list[JsonObject]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _part(part: JsonObject) -> JsonObject:
    if part.get("type") != "image_url":
        return {"type": "text", "text": str(part.get("text", ""))}
    kind, data = image(part)
    if kind is None:
        return {"type": "image", "source": {"type": "url", "url": data}}
    return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}


def image(part: JsonObject) -> tuple[str | None, str]:
    """(media type, base64 data) of an image part; (None, URL) of one that is not a data URL."""
    url = str((part.get("image_url") or {}).get("url", ""))
    kind, _, data = url.removeprefix("data:").partition(";base64,")
    return (kind, data) if url.startswith("data:") else (None, url)


def _tool_use(call: JsonObject) -> JsonObject:
    function = call.get("function") or {}
    name, values = function.get("name", ""), arguments(function.get("arguments"))
    return {"type": "tool_use", "id": call.get("id", ""), "name": name, "input": values}


def arguments(text: Any) -> JsonObject:
    """A call's arguments as an object; text that is not a JSON object goes under `text`."""
    if isinstance(text, dict):
        return text
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {"text": text}
    return value if isinstance(value, dict) else {"text": text}


def tool(definition: JsonObject) -> JsonObject:
    """A tool definition."""
    function = definition.get("function") or definition
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    made = {"name": function.get("name", ""), "input_schema": schema}
    if function.get("description"):
        made["description"] = function["description"]
    return made


def tool_choice(choice: ToolChoice) -> JsonObject:
    """OpenAI's `tool_choice` as Anthropic writes it."""
    if isinstance(choice, str):
        return {"type": {"required": "any"}.get(choice, choice)}
    return {"type": "tool", "name": chosen_tool(choice)}


def chosen_tool(choice: Mapping[str, object]) -> str:
    """The name in `{"type": "function", "function": {"name": ...}}`, also where it stands outside."""
    inner = choice.get("function", choice)
    return str(inner.get("name", "")) if isinstance(inner, Mapping) else ""


def json_schema(response_format: JsonObject | None) -> JsonObject | None:
    """The bare schema in OpenAI's `response_format`; None where there is none (also for plain `json_object`)."""
    if not response_format or response_format.get("type") != "json_schema":
        return None
    schema = (response_format.get("json_schema") or {}).get("schema")
    return schema if isinstance(schema, dict) else None


def read(content: Sequence[Any]) -> tuple[str, str, list[JsonObject]]:
    """(text, thinking, tool calls in OpenAI's shape) of a reply's blocks; redacted thinking says nothing and is left out."""
    text, thinking, calls = [], [], []
    for block in content:
        kind = block.get("type") if isinstance(block, dict) else None
        if kind == "text":
            text.append(block["text"] if isinstance(block.get("text"), str) else "")
        elif kind == "thinking":
            thinking.append(words(block.get("thinking")))
        elif kind == "tool_use":
            calls.append(tool_call(block.get("id", ""), block.get("name", ""), block.get("input")))
    return "".join(text), "\n".join(part for part in thinking if part), calls


def tool_call(call_id: str, name: str, values: Any) -> JsonObject:
    """A call in OpenAI's shape, its arguments as JSON text. Raises GarbledReply where the call has no name."""
    if not isinstance(name, str) or not name:
        raise GarbledReply("a tool call of the reply has no name")
    function = {"name": name, "arguments": json.dumps(values or {}, ensure_ascii=False)}
    return {"id": call_id, "type": "function", "function": function}
