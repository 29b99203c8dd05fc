"""The blocks of Anthropic's turns as JSON schema, for openapi.json: what messages.py takes, and no more.

Sources: the types of the anthropic package (2.14, `*_block_param`).
"""

from __future__ import annotations

from pydantic import JsonValue

from distil.serve.wire import JsonObject

_TEXT: JsonObject = {"type": "string"}
_SPOKEN: JsonObject = {"type": "string", "pattern": r"\S"}


def _block(kind: str, further: JsonObject | None = None, **needed: JsonObject) -> JsonObject:
    """A block of a type with the fields that it needs, and others that it may have."""
    properties = {"type": {"const": kind}} | needed | (further or {})
    return {"type": "object", "required": ["type", *needed], "properties": properties}


def _list(blocks: list[JsonObject]) -> JsonObject:
    return {"type": "array", "items": {"anyOf": blocks}}


_IMAGE = _block("image", source={"anyOf": [_block("url", url=_TEXT), _block("base64", media_type=_TEXT, data=_TEXT)]})
_PARTS = [_block("text", text=_TEXT), _IMAGE, _block("document", source=_block("text", data=_TEXT))]
_RESULT = _block("tool_result", {"content": {"anyOf": [_TEXT, {"type": "null"}, _list(_PARTS)]}}, tool_use_id=_TEXT)
_MADE = [
    _block("text", text=_TEXT),
    _block("thinking", thinking=_TEXT),
    _block("redacted_thinking"),
    _block("tool_use", id=_TEXT, name=_TEXT, input={"type": "object"}),
]
TURNS: list[JsonValue] = [
    {"properties": {"content": _TEXT}},
    {"properties": {"role": {"const": "assistant"}, "content": _list(_MADE)}},
    {"properties": {"role": {"enum": ["user", "system"]}, "content": _list([*_PARTS, _RESULT])}},
]
"""A text, or a list of blocks."""

_SPEAKING = [_block("text", text=_SPOKEN), _block("image"), _block("document", source=_block("text", data=_SPOKEN))]
_TOLD = {"anyOf": [_SPOKEN, {"type": "array", "contains": {"anyOf": _SPEAKING}}]}
_SAID = [*_SPEAKING, _block("tool_use"), _block("tool_result", content=_TOLD)]
SAYS_SOMETHING: JsonObject = {
    "contains": {
        "required": ["content"],
        "properties": {"content": {"anyOf": [_SPOKEN, {"type": "array", "contains": {"anyOf": _SAID}}]}},
    }
}
"""Of all turns together."""
CHOICES: list[JsonValue] = [
    {"properties": {"type": {"enum": ["auto", "any", "none"]}}},
    {"required": ["name"], "properties": {"type": {"const": "tool"}, "name": {"type": "string"}}},
]
"""A tool that must be called has a name."""
