"""Bedrock's Converse blocks, to and from OpenAI's chat shape: turns, tools, images, thinking.

Pure functions; bedrock.py puts them into a request and a reply.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from distil.calls.providers import blocks, common
from distil.calls.request import JsonObject
from distil.errors import UserError
from distil.records import Message, ToolChoice
from distil.text import instructions, spoken_turns

_IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg", "image/gif": "gif", "image/webp": "webp"}


def conversation(messages: Sequence[Message]) -> tuple[str, list[JsonObject]]:
    """(system prompt, turns). Tool results become user turns; neighbors of one role are joined, as the API asks for."""
    turns: list[JsonObject] = []
    for message in spoken_turns(messages):
        role = "assistant" if message.role == "assistant" else "user"
        made = _blocks(message)
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += made
        else:
            turns.append({"role": role, "content": made})
    return instructions(messages, "\n\n"), turns


def _blocks(message: Message) -> list[JsonObject]:
    if message.role == "tool":
        result = {"toolUseId": message.tool_call_id or "", "content": [{"text": message.text}]}
        return [{"toolResult": result}]
    parts = message.content if isinstance(message.content, list) else [{"type": "text", "text": message.text}]
    made = [_part(part) for part in parts]
    calls = [_tool_use(call) for call in message.tool_calls or []]
    # Blank texts are refused; a turn of calls has none.
    return [block for block in made if not calls or block.get("text", "x").strip()] + calls


def _part(part: JsonObject) -> JsonObject:
    if part.get("type") != "image_url":
        return {"text": str(part.get("text", ""))}
    kind, data = blocks.image(part)
    if kind not in _IMAGES:
        raise UserError(
            f"Bedrock takes images as data (png, jpeg, gif, webp), not as {kind or 'an address'}. Put them into the prompts "
            f"as data URLs."
        )
    return {"image": {"format": _IMAGES[kind], "source": {"bytes": data}}}


def _tool_use(call: JsonObject) -> JsonObject:
    function = call.get("function") or {}
    values = blocks.arguments(function.get("arguments"))
    return {"toolUse": {"toolUseId": call.get("id", ""), "name": function.get("name", ""), "input": values}}


def tool_choice(choice: ToolChoice) -> JsonObject:
    """OpenAI's `tool_choice` as Converse writes it. Raises UserError for `none`, which it does not have."""
    if choice == "none":
        raise UserError(
            "Bedrock's Converse has no tool_choice `none`. Take the tools or the tool_choice out of these prompts, and run again."
        )
    return {"any": {}} if isinstance(choice, str) else {"tool": {"name": blocks.chosen_tool(choice)}}


def tool(definition: JsonObject) -> JsonObject:
    """A tool definition."""
    function = definition.get("function") or definition
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    spec: JsonObject = {"name": function.get("name", ""), "inputSchema": {"json": schema}}
    if function.get("description"):
        spec["description"] = function["description"]
    return {"toolSpec": spec}


def text_format(response_format: JsonObject) -> JsonObject:
    """A JSON schema; its text is JSON inside JSON. Raises UserError for plain `json_object`, which Converse does not have."""
    schema = blocks.json_schema(response_format)
    if schema is None:
        raise UserError(
            "Bedrock gives JSON only by a schema. Give `response_format` as {type: json_schema, json_schema: {name, schema}}."
        )
    name = str((response_format.get("json_schema") or {}).get("name") or "answer")
    text = json.dumps(schema, ensure_ascii=False)
    return {"type": "json_schema", "structure": {"jsonSchema": {"name": name, "schema": text}}}


def read(content: Sequence[object]) -> tuple[str, str, list[JsonObject]]:
    """(text, thinking, tool calls in OpenAI's shape); encrypted thinking says nothing and is left out."""
    text, thinking, calls = list[str](), list[str](), list[JsonObject]()
    for block in map(common.mapping, content):
        if isinstance(block.get("text"), str):
            text.append(block["text"])
        elif "reasoningContent" in block:
            thought = common.mapping(common.mapping(block["reasoningContent"]).get("reasoningText"))
            thinking.append(common.words(thought.get("text")))
        elif isinstance(block.get("toolUse"), dict) and block["toolUse"].get("type") != "server_tool_use":
            use = block["toolUse"]
            name, call_id = str(use.get("name") or ""), str(use.get("toolUseId") or f"call_{len(calls)}")
            calls.append(blocks.tool_call(call_id, name, use.get("input")))
    return "".join(text), "\n".join(part for part in thinking if part), calls
