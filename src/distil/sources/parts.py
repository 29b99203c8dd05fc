"""The parts that a turn's content is made of, whoever wrote them: OpenAI, Anthropic, Gemini, Bedrock, OpenTelemetry, LangChain.

Each becomes text, a tool call, a tool's result, thinking, or an attachment (an image, audio, a file). Shapes from the types of
the SDKs openai 3.57, anthropic 2.14, google-genai 3.6, langchain-core 1.8, from recorded calls, and OpenTelemetry's GenAI
conventions.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Literal, NamedTuple

from distil.calls.providers.common import words
from distil.calls.request import JsonObject
from distil.sources.values import mapping

ATTACHED = ("image_url", "input_audio", "file", "video_url")
"""Types of OpenAI content parts that are not text."""
_TEXT = ("text", "input_text", "output_text", "refusal")
_THINKING = ("thinking", "redacted_thinking", "reasoning", "reasoning_text", "summary_text", "reasoningContent")
_CALLS = ("tool_use", "tool_call", "tool-call", "function_call", "toolUse", "functionCall")
_RESULTS = (
    *("tool_result", "tool_call_response", "tool-result", "function_call_output", "toolResult", "functionResponse"),
    "tool_response",
)
_IMAGES = ("image", "input_image", "image_url", "inlineData", "inline_data", "fileData", "file_data", "blob", "uri")
_SILENT = ("cachePoint", "step-start")  # say nothing themselves


class Part(NamedTuple):
    """One part of a turn."""

    kind: Literal["text", "thinking", "call", "result", "attachment", "other"]
    text: str = ""
    """The text, the thinking, a result's text, or the name of another kind."""
    value: JsonObject = {}  # noqa: RUF012 - never changed
    """A call in OpenAI's shape, or an attachment as an OpenAI content part."""
    call_id: str = ""
    """Of a result."""


def read_part(part: object) -> Part:
    """The id of a call that has none is empty."""
    if isinstance(part, str):
        return Part("text", part)
    if not isinstance(part, dict):
        return Part("other", type(part).__name__)
    kind = part.get("type")
    if not isinstance(kind, str):
        kind = next((key for key in part if key in _KEYED), "text" if isinstance(part.get("text"), str) else "")
    if kind in _TEXT:
        if part.get("thought") is True:
            return Part("thinking", words(part))
        return Part("text", _text(part, kind))
    if kind in _THINKING:
        return Part("thinking", words(part.get(kind)) or words(part))
    if kind in _CALLS:
        return Part("call", "", _call(part, kind))
    if kind in _RESULTS:
        return _result(part, kind)
    if kind == "guardContent":
        return Part("text", words(mapping(part[kind]).get("text")))
    if kind in _SILENT:
        return Part("text")
    return _attachment(part, kind) or Part("other", kind or "unknown")


def _text(part: JsonObject, kind: str) -> str:
    for name in ("text", "content", kind, "value"):
        value = part.get(name)
        if isinstance(value, str):
            return value
        if isinstance(value, dict) and isinstance(value.get("value"), str):  # OpenAI's assistants
            return str(value["value"])
    return ""


def _inner(part: JsonObject, kind: str) -> JsonObject:
    inner = part.get(kind)
    return inner if isinstance(inner, dict) else part


def _call(part: JsonObject, kind: str) -> JsonObject:
    inner = _inner(part, kind)
    function = mapping(inner.get("function")) or inner
    name = function.get("name") or function.get("toolName")
    values: object = next(
        (function[key] for key in ("arguments", "input", "args") if function.get(key) is not None), {}
    )
    call_id = next((inner[key] for key in ("call_id", "id", "toolUseId", "toolCallId") if inner.get(key)), None)
    return make_call(str(call_id or ""), str(name or ""), values)


def make_call(call_id: str, name: str, values: object) -> JsonObject:
    """A tool call in OpenAI's shape, its arguments as JSON text."""
    text = values if isinstance(values, str) else json.dumps(values, ensure_ascii=False, default=str)
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": text or "{}"}}


def _result(part: JsonObject, kind: str) -> Part:
    inner = _inner(part, kind)
    names = ("tool_use_id", "tool_call_id", "toolUseId", "toolCallId", "call_id", "id", "name")
    call_id = next((str(inner[key]) for key in names if inner.get(key)), "")
    found = next((inner[key] for key in ("content", "output", "result", "response") if inner.get(key) is not None), "")
    return Part("result", result_text(found), {}, call_id)


def result_text(value: object) -> str:
    """What a tool gave back, as the text that a model reads: its own text, or JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(read_part(item).kind == "text" for item in value):
        return "\n".join(read_part(item).text for item in value)
    if (
        isinstance(value, dict) and value.get("type") in ("text", "json") and value.keys() == {"type", "value"}
    ):  # Vercel's SDK
        return result_text(value["value"])
    if isinstance(value, dict) and len(value) == 1 and isinstance(value.get("result", value.get("output")), str):
        return str(value.get("result", value.get("output")))
    return json.dumps(value, ensure_ascii=False, default=str)


def _attachment(part: JsonObject, kind: str) -> Part | None:
    """As an OpenAI content part; None where it is none."""
    inner = _inner(part, kind)
    if kind == "document" and mapping(part.get("source")).get("type") == "text":
        return Part("text", str(part["source"].get("data", "")))
    if kind in ("audio", "input_audio", "media") or (kind == "file" and "audio" in str(inner.get("mime_type"))):
        return Part("attachment", "audio", {"type": "input_audio", "input_audio": inner})
    if kind in ("video", "video_url"):
        return Part("attachment", "video", {"type": "video_url", "video_url": inner})
    if kind in ("file", "input_file", "document"):
        return Part("attachment", "file", {"type": "file", "file": inner})
    if kind not in _IMAGES:
        return None
    source = mapping(inner.get("source")) or inner
    media = next((source[key] for key in ("media_type", "mimeType", "mime_type", "format") if source.get(key)), None)
    url = inner.get("image_url", inner.get("url", source.get("url", source.get("fileUri", source.get("uri")))))
    url = mapping(url).get("url") if isinstance(url, dict) else url
    if not url:
        data = source.get("data") or mapping(source).get("bytes") or source.get("content") or ""
        url = f"data:{media or 'image/png'};base64,{data}"
    name = str(media).partition("/")[0] if media and "/" in str(media) else "image"
    return Part("attachment", name, {"type": "image_url", "image_url": {"url": str(url)}})


_KEYED = frozenset(
    {*_CALLS, *_RESULTS, *_IMAGES, *_SILENT, "reasoningContent", "guardContent", "document", "video", "audio", "file"}
)


def attachments(content: object) -> Counter[str]:
    """The kinds of attachments in a content, as messages call them: image, audio, file, video."""
    found: Counter[str] = Counter()
    for part in content if isinstance(content, list) else []:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in ATTACHED or kind in ("image", "audio", "video"):
            found[{"image_url": "image", "input_audio": "audio", "video_url": "video"}.get(str(kind), str(kind))] += 1
    return found
