"""Turns of a conversation, whoever wrote them, as OpenAI's chat turns.

Beside OpenAI's own: ShareGPT (`from`, `value`), Anthropic's, Gemini's and Bedrock's content, items of the Responses API,
LangChain's messages, OpenTelemetry's `parts`, OpenInference's `message.role`. A turn in OpenAI's shape stays as it is.
"""

from __future__ import annotations

import ast
from collections import Counter

from distil.calls.providers.common import words
from distil.calls.request import JsonObject
from distil.sources.parts import ATTACHED, Part, make_call, read_part, result_text
from distil.sources.values import mapping, nest, parsed

ROLES = {
    "system": "system",
    "developer": "developer",
    **dict.fromkeys(("user", "human", "prompter", "question", "customer", "student"), "user"),
    **dict.fromkeys(
        ("assistant", "gpt", "model", "ai", "bot", "chatbot", "chatgpt", "bard", "bing", "answer"), "assistant"
    ),
    **dict.fromkeys(("tool", "function", "observation", "tool_response", "ipython", "environment"), "tool"),
}
"""What the authors of turns are called -> OpenAI's role."""
_SIGNS = frozenset({"role", "from", "type", "kwargs", "message", "parts"})
_CALLING = ("function_call", "tool_call", "function-call")
_OWN_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_PLAIN_PARTS = ("text", *ATTACHED)
LISTS = ("messages", "conversations", "conversation", "dialog", "dialogue", "turns", "chat")
"""Names of a list of turns."""


def turn_list(value: object) -> list[object] | None:
    """The list of turns that a value is, or that is written in a text; None where it is something else, such as a question."""
    found = _columns(_literal(parsed(value)))
    if not isinstance(found, list) or not found:
        return None
    inner = found[0] if isinstance(found[0], list) else found
    return found if inner and all(isinstance(turn, dict) and not _SIGNS.isdisjoint(turn) for turn in inner) else None


def _literal(value: object) -> object:
    """A list in Python's notation, which pandas writes into a table; any other text as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith(("[{'", "[ {'", "[[{'")):
        return value
    try:
        return ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value


def _columns(value: object) -> object:
    """`{"from": [...], "value": [...]}`, as `datasets` keeps a list of objects, as that list."""
    if not isinstance(value, dict) or not {"role", "from"} & value.keys():
        return value
    if (
        not all(isinstance(column, (list, tuple)) for column in value.values())
        or len({len(c) for c in value.values()}) != 1
    ):
        return value
    return [dict(zip(value, turn, strict=True)) for turn in zip(*value.values(), strict=True)]


def read_turns(value: object, left_out: Counter[str]) -> list[object]:
    """The turns of a conversation, or of a text, which is one user turn. Anything else stays as it is, and is refused later.

    left_out: counts parts that have no place in a chat turn.
    """
    value = turn_list(value) or value
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        return []
    if len(value) == 1 and isinstance(value[0], list):  # LangChain keeps a list of conversations
        value = value[0]
    turns = list[object]()
    for turn in value:
        turns += _read(turn, left_out)
    _link(turns)
    return turns


def _link(turns: list[object]) -> None:
    """Gives calls without an id one, and results the id of the call that they answer: the one they name, else the oldest."""
    waiting: list[tuple[str, str]] = []  # (id, name)
    for turn in turns:
        if not isinstance(turn, dict):
            continue
        calls = turn.get("tool_calls")
        for call in calls if isinstance(calls, list) else []:
            if isinstance(call, dict):
                if call.get("id") == "":
                    call["id"] = f"call_{len(waiting)}"
                waiting.append((str(call.get("id")), str(mapping(call.get("function")).get("name"))))
        if turn.get("role") == "tool" and turn.get("tool_call_id") not in {call_id for call_id, _ in waiting}:
            named = [call_id for call_id, name in waiting if name == turn.get("tool_call_id")]
            open_ids = named or [call_id for call_id, _ in waiting]
            if open_ids and (named or not turn.get("tool_call_id")):
                turn["tool_call_id"] = open_ids[0]
                waiting = [(call_id if call_id != open_ids[0] else "\0", name) for call_id, name in waiting]


def _read(turn: object, left_out: Counter[str]) -> list[object]:
    if isinstance(turn, str):
        return [{"role": "user", "content": turn}]
    if isinstance(turn, (list, tuple)) and len(turn) == 2 and str(turn[0]).lower() in ROLES:  # ("human", "text")
        turn = {"role": str(turn[0]), "content": turn[1]}
    if not isinstance(turn, dict):
        return [turn]
    if _is_own(turn):
        return [turn]
    turn = unwrapped(turn)
    role = turn.get("role", turn.get("from", turn.get("type")))
    name = str(role).lower().removesuffix("messagechunk").removesuffix("message")
    if name == "reasoning" and "role" not in turn:
        left_out["thinking of earlier turns"] += 1
        return []
    if name == "function_call_output":
        return [
            {"role": "tool", "tool_call_id": str(turn.get("call_id", "")), "content": result_text(turn.get("output"))}
        ]
    if name in _CALLING:
        return [{"role": "assistant", "content": None, "tool_calls": [_spoken_call(turn)]}]
    if name not in ROLES:
        if isinstance(turn.get("type"), str) and not turn.keys() & {"role", "from"}:  # an item of the Responses API
            left_out[f"items of type {turn['type']!r}"] += 1
            return []
        return [turn]
    return _made(ROLES[name], turn, left_out)


def _is_own(turn: JsonObject) -> bool:
    """OpenAI's chat turn, with nothing in it that needs translating."""
    content = turn.get("content")
    if turn.get("role") not in _OWN_ROLES or "parts" in turn or "value" in turn:
        return False
    if isinstance(content, list):
        plain = all(isinstance(part, dict) and part.get("type") in _PLAIN_PARTS for part in content)
        if not plain or any(part.keys() - {"type", "text", *ATTACHED} for part in content):
            return False
    elif content is not None and not isinstance(content, str):
        return False
    return all(
        isinstance(call, dict) and isinstance(call.get("function"), dict) for call in turn.get("tool_calls") or []
    )


def unwrapped(turn: JsonObject) -> JsonObject:
    """The turn inside what LangChain and OpenInference put around it."""
    if any(key.startswith("message.") for key in turn):
        turn = nest(turn)
    if isinstance(turn.get("kwargs"), dict) and isinstance(turn.get("id"), list) and turn["id"]:
        return {"type": str(turn["id"][-1]), **turn["kwargs"]}
    if isinstance(turn.get("data"), dict) and isinstance(turn.get("type"), str) and "content" in turn["data"]:
        return {**turn["data"], "type": turn["type"]}
    if isinstance(turn.get("message"), dict) and "content" not in turn:
        return dict(turn["message"])
    if turn.get("type") == "message" and isinstance(turn.get("role"), str):
        return {key: value for key, value in turn.items() if key != "type"}
    return turn


def _spoken_call(turn: JsonObject) -> JsonObject:
    """Of the Responses API, or of ShareGPT, whose value is the call as JSON."""
    inner = parsed(turn.get("value", turn.get("content")))
    if isinstance(inner, dict):
        return make_call("", str(inner.get("name", "")), inner.get("arguments", inner.get("parameters", {})))
    return make_call(
        str(turn.get("call_id") or turn.get("id") or ""), str(turn.get("name", "")), turn.get("arguments", {})
    )


def _made(role: str, turn: JsonObject, left_out: Counter[str]) -> list[object]:
    content = next(
        (
            turn[key]
            for key in ("content", "value", "parts", "contents", "message", "text")
            if turn.get(key) is not None
        ),
        None,
    )
    if isinstance(content, dict):
        content = [content]
    parts = [read_part(part) for part in content] if isinstance(content, list) else []
    for part in parts:
        if part.kind == "other":
            left_out[f"parts of type {part.text!r}"] += 1
        elif part.kind == "thinking" and part.text:
            left_out["thinking of earlier turns"] += 1
    results: list[object] = [
        {"role": "tool", "tool_call_id": part.call_id or _call_id(turn), "content": part.text}
        for part in parts
        if part.kind == "result"
    ]
    if role == "tool":
        if results:
            return results
        text = content if isinstance(content, str) else result_text(content) if content is not None else ""
        return [{"role": "tool", "tool_call_id": _call_id(turn), "content": text}]
    made: JsonObject = {"role": role, "content": content if isinstance(content, str) else _content(parts)}
    calls = [part.value for part in parts if part.kind == "call"] + _calls(turn)
    if calls:
        made["tool_calls"] = calls
        made["content"] = made["content"] or None
    made |= {
        key: turn[key] for key in ("name", "weight", "reasoning_content") if turn.get(key) is not None and key in turn
    }
    if results and not made["content"] and not calls:
        return results
    return [*results, made]


def _call_id(turn: JsonObject) -> str:
    names = ("tool_call_id", "call_id", "id", "name")
    return next((str(turn[key]) for key in names if isinstance(turn.get(key), str)), "")


def _calls(turn: JsonObject) -> list[JsonObject]:
    """`tool_calls` as LangChain and OpenInference write them, and the old `function_call`."""
    extra = mapping(turn.get("additional_kwargs"))
    found = turn.get("tool_calls") or extra.get("tool_calls") or []
    old = turn.get("function_call") or extra.get("function_call")
    if isinstance(old, dict) and not found:
        found = [{"id": f"call_{old.get('name')}", "function": old}]
    calls = list[JsonObject]()
    for call in found if isinstance(found, list) else []:
        if isinstance(call, dict):
            calls.append(read_part({**mapping(call.get("tool_call")), **call, "type": "tool_call"}).value)
    return calls


def _content(parts: list[Part]) -> str | list[JsonObject]:
    """A text; content parts where something is attached."""
    if any(part.kind == "attachment" for part in parts):
        return [
            {"type": "text", "text": part.text} if part.kind == "text" else part.value
            for part in parts
            if part.kind == "attachment" or (part.kind == "text" and part.text)
        ]
    return "".join(part.text for part in parts if part.kind == "text")


def system_text(value: object) -> str:
    """A system prompt beside the turns: a text, Anthropic's or Bedrock's blocks, Gemini's content, OpenTelemetry's parts."""
    value = parsed(value)
    if isinstance(value, dict) and "parts" in value:
        value = value["parts"]
    if isinstance(value, list):
        return "\n\n".join(text for text in (words(item) for item in value) if text)
    return words(value)
