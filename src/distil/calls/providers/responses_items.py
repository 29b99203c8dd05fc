"""The items of OpenAI's Responses API, to and from its chat shape: turns, tools, formats, thinking, log-probabilities.

Pure functions; responses.py puts them into a request and a reply.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from distil.calls.providers import common
from distil.calls.providers.blocks import chosen_tool
from distil.calls.request import JsonObject
from distil.records import Message, ToolChoice


class Read(NamedTuple):
    """What a reply's output holds."""

    text: str
    refusal: str
    thinking: str
    """Summaries, or the thinking itself where a server gives it, and what was said while at work on tools."""
    calls: list[JsonObject]
    """In chat's shape."""
    logprobs: list[JsonObject]


def conversation(messages: Sequence[Message]) -> list[JsonObject]:
    """The input items: a turn each, and one for every tool call and its result."""
    return [item for message in messages for item in _items(message)]


def _items(message: Message) -> list[JsonObject]:
    if message.role == "tool":
        return [{"type": "function_call_output", "call_id": message.tool_call_id or "", "output": message.text}]
    items: list[JsonObject] = []
    if message.content or not message.tool_calls:
        content = message.content
        parts = [_part(part, message.role) for part in content] if isinstance(content, list) else message.text
        items.append({"role": message.role, "content": parts})
    for call in message.tool_calls or []:
        function = call.get("function") or {}
        arguments = function.get("arguments") or "{}"
        text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        items.append(
            {
                "type": "function_call",
                "call_id": call.get("id", ""),
                "name": function.get("name", ""),
                "arguments": text,
            }
        )
    return items


def _part(part: JsonObject, role: str) -> JsonObject:
    if part.get("type") == "image_url":
        image = part.get("image_url") or {}
        made = {"type": "input_image", "image_url": image.get("url", "")}
        return {**made, "detail": image["detail"]} if image.get("detail") else made
    return {"type": "output_text" if role == "assistant" else "input_text", "text": str(part.get("text", ""))}


def tool_choice(choice: ToolChoice) -> str | JsonObject:
    """OpenAI's chat `tool_choice` as the Responses API writes it."""
    return choice if isinstance(choice, str) else {"type": "function", "name": chosen_tool(choice)}


def tool(definition: JsonObject) -> JsonObject:
    """A function. `strict` is said in so many words: this API's default is true, chat's is false."""
    function = definition.get("function") or definition
    made: JsonObject = {"type": "function", "name": function.get("name", "")}
    if function.get("description"):
        made["description"] = function["description"]
    made["parameters"] = function.get("parameters") or {"type": "object", "properties": {}}
    made["strict"] = bool(function.get("strict", False))
    return made


def text_format(response_format: JsonObject) -> JsonObject:
    """chat's `response_format` without the nesting: {"type": "json_schema", "name", "schema", "strict"}."""
    schema = response_format.get("json_schema")
    return {"type": "json_schema", **schema} if isinstance(schema, dict) else dict(response_format)


def read(output: Sequence[JsonObject]) -> Read:
    """The reply's items. Where some messages are marked as the final answer, the others are commentary."""
    messages = [item for item in output if item.get("type") == "message"]
    final = [item for item in messages if item.get("phase") == "final_answer"] or messages
    text, refusal, thinking = list[str](), list[str](), list[str]()
    calls, logprobs = list[JsonObject](), list[JsonObject]()
    for item in output:
        if item.get("type") == "reasoning":
            thinking.append(common.words(item.get("summary")) or common.words(item.get("content")))
        elif item.get("type") == "function_call":
            calls.append(_call(item, len(calls)))
        elif item.get("type") == "message":
            said = [part for part in item.get("content") or [] if isinstance(part, dict)]
            whole = "".join(part["text"] for part in said if isinstance(part.get("text"), str))
            (text if item in final else thinking).append(whole)
            refusal += [part["refusal"] for part in said if isinstance(part.get("refusal"), str)]
            for part in said if item in final else []:
                tokens = part.get("logprobs")
                logprobs += [token for token in tokens if isinstance(token, dict)] if isinstance(tokens, list) else []
    kept = "\n".join(part for part in thinking if part)
    return Read("".join(text), "".join(refusal), kept, calls, logprobs)


def _call(item: JsonObject, index: int) -> JsonObject:
    arguments = item.get("arguments")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)
    function = {"name": str(item.get("name") or ""), "arguments": text or "{}"}
    return {"id": str(item.get("call_id") or f"call_{index}"), "type": "function", "function": function}
