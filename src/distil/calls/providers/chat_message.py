"""The message of a chat completion, taken apart: text, thinking, tool calls. Pure functions; chat.py puts them into a Parsed.

Every server has fields of its own for thinking, and any of them may be missing, null or of another shape.
"""

from __future__ import annotations

import json

from distil.calls.faults import GarbledReply
from distil.calls.providers import common
from distil.calls.providers.reading import wrong_shape
from distil.calls.request import JsonObject
from distil.endings import ending
from distil.thinking import combine

_THINKING_FIELDS = ("reasoning", "reasoning_content", "reasoning_details", "thinking", "thinking_blocks")
_THINKING_PARTS = ("thinking", "reasoning", "reasoning_text", "summary_text")


def content(message: JsonObject) -> tuple[str, str]:
    """(text, thinking) of `content`: a string, or parts, of which Mistral's may be thinking. Raises GarbledReply."""
    value = message.get("content")
    if value is None or isinstance(value, str):
        return value or "", ""
    if not isinstance(value, list):
        raise wrong_shape(f"the message's content is a JSON {type(value).__name__}", message)
    text, thinking = list[str](), list[str]()
    for item in value:
        kind = item.get("type") if isinstance(item, dict) else None
        if isinstance(item, dict) and kind in _THINKING_PARTS:
            thinking.append(common.words(item.get("thinking")) or common.words(item))
        elif isinstance(item, dict):
            text.append(item["text"] if isinstance(item.get("text"), str) else "")
        elif isinstance(item, str):
            text.append(item)
    return "".join(text), "\n".join(thinking)


def thinking(message: JsonObject) -> str | None:
    """What comes in fields of its own: `reasoning` (OpenRouter, Groq, Cerebras, vLLM), `reasoning_content` (DeepSeek, SGLang,
    Z.ai), `reasoning_details` (OpenRouter), `thinking` (Ollama). The first that says something: they repeat each other.
    """
    for name in _THINKING_FIELDS:
        value = message.get(name)
        if value and (found := combine(common.words(value))):
            return found
    return None


def tool_calls(message: JsonObject) -> list[JsonObject] | None:
    """The calls in OpenAI's shape, also from the older `function_call`. Raises GarbledReply where they are none."""
    calls = message.get("tool_calls")
    if not calls:
        old = message.get("function_call")
        if not isinstance(old, dict) or not old.get("name"):
            return None
        calls = [{"id": "call_0", "type": "function", "function": old}]
    if not isinstance(calls, list):
        raise wrong_shape(f"tool_calls is a JSON {type(calls).__name__}", message)
    return [_call(call, index) for index, call in enumerate(calls)]


def _call(call: object, index: int) -> JsonObject:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(call, dict) or not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise GarbledReply(f"the tool call {index} has no function with a name")
    arguments = function.get("arguments")
    if arguments is not None and not isinstance(arguments, str):  # Ollama's and some gateways' are objects already
        arguments = json.dumps(arguments, ensure_ascii=False)
    call_id = call.get("id")
    return {
        **call,
        "id": call_id if isinstance(call_id, str) and call_id else f"call_{index}",
        "type": "function",
        "function": {**function, "arguments": arguments or "{}"},
    }


def finish(choice: JsonObject, message: JsonObject, calls: list[JsonObject] | None) -> str:
    """The choice's finish reason. A server that never says one (no such field, or Snowflake's empty text) ended by itself."""
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal:
        return "refusal"
    reason = choice.get("finish_reason", "")
    if reason is None:
        reason = choice.get("native_finish_reason")
    if reason == "":
        return "tool_calls" if calls else "stop"
    return reason if isinstance(reason, str) else "none" if reason is None else json.dumps(reason)[:80]


def of(choice: JsonObject, reply: JsonObject) -> JsonObject:
    """The choice's message. Azure leaves it out where its filter held the answer back. Raises GarbledReply."""
    message = choice.get("message")
    if isinstance(message, dict):
        return message
    reason = choice.get("finish_reason")
    if isinstance(reason, str) and ending(reason) == "refused":
        return {}
    if isinstance(choice.get("text"), str):  # the older completions API, as some servers still answer
        return {"content": choice["text"]}
    raise wrong_shape("the reply's choice has no message", choice or reply)
