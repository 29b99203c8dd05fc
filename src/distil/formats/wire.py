"""Turns as JSON in OpenAI's shape, which most formats share, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import ValidationError

from distil.formats.rows import Line, Tool
from distil.records import Message
from distil.text import parse_json

TURN_KEYS = frozenset({"role", "content", "name", "tool_calls", "tool_call_id", "reasoning_content", "weight"})
"""What a turn may have, whatever the format."""


def turn_wire(turn: Message, *, arguments: Literal["text", "object"] = "text", embedded: bool = False) -> Line:
    """One turn as JSON, without the fields that it does not use.

    arguments: of tool calls, as JSON text (OpenAI's API) or as an object (chat templates); embedded: content always as a list of
    parts. Text parts alone become one text. A weight stays on the assistant's turns only. Raises ValueError on arguments that are
    no JSON object where an object is needed.
    """
    wire: Line = {"role": turn.role}
    pictured = isinstance(turn.content, list) and any(part.get("type") != "text" for part in turn.content)
    if pictured:
        wire["content"] = turn.content
    elif embedded:
        wire["content"] = [{"type": "text", "text": turn.text}]
    elif turn.text or not turn.tool_calls:
        wire["content"] = turn.text
    for name in ("name", "tool_call_id", "reasoning_content"):
        if getattr(turn, name) is not None:
            wire[name] = getattr(turn, name)
    if turn.tool_calls:
        wire["tool_calls"] = [_call(call, arguments) for call in turn.tool_calls]
    if turn.weight is not None and turn.role == "assistant":
        wire["weight"] = turn.weight
    return wire


def _call(call: Mapping[str, object], arguments: Literal["text", "object"]) -> Line:
    function = call.get("function")
    if not isinstance(function, Mapping):
        raise ValueError("a tool call without its function")
    given = function.get("arguments")
    value: object = given
    if arguments == "object" and not isinstance(given, Mapping):
        value = parse_json(str(given or "{}"))
        if not isinstance(value, dict):
            raise ValueError("arguments of a tool call that are not a JSON object")
    if arguments == "text" and not isinstance(given, str):
        value = json.dumps(given or {}, ensure_ascii=False)
    return {**call, "function": {**function, "arguments": value}}


def read_turns(value: object, keys: frozenset[str] = TURN_KEYS) -> list[Message]:
    """Turns that somebody wrote. Raises ValueError with what is wrong, in one clause."""
    if not isinstance(value, list) or not value:
        raise ValueError("no list of messages")
    turns = []
    for number, turn in enumerate(value, start=1):
        if not isinstance(turn, dict):
            raise ValueError(f"message {number} is not an object")
        extra = sorted(set(turn) - keys)
        if extra:
            raise ValueError(f"message {number} has the key {extra[0]!r}, which the format does not know")
        if turn.get("content") is None and not turn.get("tool_calls"):
            raise ValueError(f"message {number} has no content")
        calls = turn.get("tool_calls")
        try:
            turns.append(
                Message.model_validate(turn | ({"tool_calls": [_read_call(c) for c in calls]} if calls else {}))
            )
        except (ValidationError, TypeError) as error:
            raise ValueError(f"message {number} is not a turn of a conversation ({_first(error)})") from None
    return turns


def _read_call(call: object) -> Line:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(call, dict) or not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise ValueError("a tool call without the name of its function")
    return _call(call, "text")


def _first(error: Exception) -> str:
    if isinstance(error, ValidationError):
        fault = error.errors()[0]
        return f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
    return str(error)


def read_tools(value: object) -> Sequence[Tool]:
    """Tool definitions: a list, or the JSON text of one. Raises ValueError."""
    found = parse_json(value) if isinstance(value, str) else value
    if found is None and value in (None, ""):
        return ()
    if not isinstance(found, list) or not all(isinstance(tool, dict) and "function" in tool for tool in found):
        raise ValueError("tools are not a list of functions")
    return [tool for tool in found if isinstance(tool, dict)]


def only_keys(line: Line, required: Sequence[str], optional: Sequence[str] = ()) -> None:
    """Raises ValueError on a line that lacks a column or has one too many."""
    for name in required:
        if name not in line:
            raise ValueError(f"the column {name!r} is missing")
    for name in line:
        if name not in required and name not in optional:
            raise ValueError(f"the column {name!r} is not known to the format")


def text_of(value: object, name: str) -> str:
    """A column that must be a text. Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError(f"{name} is not a text")
    return value
