"""Anthropic's messages become a chat request: through the same gate, and to the same teacher."""

from __future__ import annotations

import json

from distil.serve.apis.anthropic_bodies import CountBody, MessagesBody
from distil.serve.apis.checked import Defaults, checked, read_object, unsupported
from distil.serve.apis.openai_bodies import ChatBody
from distil.serve.parse import chat_request
from distil.serve.wire import BadRequest, Caller, ChatRequest, JsonObject

_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_SAME = ("temperature", "top_p", "max_tokens", "stream")


def parse_messages(raw: bytes, *, defaults: Defaults, caller: Caller, count_only: bool = False) -> ChatRequest:
    """Raises BadRequest that names the parameter. count_only: the body of count_tokens, which has no max_tokens."""
    body = read_object(raw)
    shape = CountBody if count_only else MessagesBody
    read = checked(body, shape, defaults.served)
    unsupported([name for name in body if name not in shape.model_fields])  # Anthropic refuses them too
    turns = _turns(body)
    if not any(_says_something(turn) for turn in turns):
        raise BadRequest("No message has any text.", param="messages")
    if body["messages"][-1]["role"] == "assistant" and not count_only:
        raise BadRequest("The last turn is the assistant's; continuing it is not supported.", param="messages")
    chat: JsonObject = {name: body[name] for name in _SAME if body.get(name) is not None}
    chat |= {"model": read.model, "messages": _system(body) + turns, **_tools(body, read), **_output(read)}
    if body.get("stop_sequences"):
        chat["stop"] = body["stop_sequences"]
    if body.get("top_k"):
        chat["top_k"] = body["top_k"]
    return chat_request(chat, checked(chat, ChatBody, defaults.served), defaults, caller)


def _system(body: JsonObject) -> list[JsonObject]:
    system = body.get("system")
    if isinstance(system, list):
        system = "".join(block["text"] for block in system)
    return [{"role": "system", "content": system}] if system else []


def _says_something(turn: JsonObject) -> bool:
    """Lists of texts alone are one text by now."""
    content = turn["content"]
    return bool(turn.get("tool_calls") or (content if isinstance(content, list) else (content or "").strip()))


def _turns(body: JsonObject) -> list[JsonObject]:
    turns: list[JsonObject] = []
    for index, turn in enumerate(body["messages"]):
        content, place = turn["content"], f"messages.{index}"
        if isinstance(content, str):
            turns.append({"role": turn["role"], "content": content})
        elif turn["role"] == "assistant":
            turns.append(_assistant(content, place))
        else:
            turns += _asked(turn["role"], content, place)
    return turns


def _assistant(blocks: list[JsonObject], place: str) -> JsonObject:
    turn: JsonObject = {"role": "assistant", "content": None}
    for at, block in enumerate(blocks):
        kind, where = block["type"], f"{place}.content.{at}"
        if kind == "text":
            turn["content"] = (turn["content"] or "") + _text(block, "text", where)
        elif kind == "thinking":
            turn["reasoning_content"] = turn.get("reasoning_content", "") + _text(block, "thinking", where)
        elif kind == "tool_use":
            if not isinstance(block.get("input"), dict):
                raise BadRequest(f"{where}.input is not an object.", param=f"{where}.input")
            called = {"name": _text(block, "name", where), "arguments": json.dumps(block["input"], ensure_ascii=False)}
            call = {"id": _text(block, "id", where), "type": "function", "function": called}
            turn.setdefault("tool_calls", []).append(call)
        elif kind != "redacted_thinking":
            raise _no_block(kind, where)
    return turn


def _asked(role: str, blocks: list[JsonObject], place: str) -> list[JsonObject]:
    """A user's turn: what tools gave back are turns of their own, in the order in which they stand."""
    turns: list[JsonObject] = []
    parts: list[JsonObject] = []

    def flush() -> None:
        if parts:
            turns.append({"role": role, "content": _content(list(parts))})
            parts.clear()

    for at, block in enumerate(blocks):
        where = f"{place}.content.{at}"
        if block["type"] != "tool_result":
            parts.append(_part(block, where))
            continue
        flush()
        turns.append(_tool_result(block, where))
    flush()
    return turns or [{"role": role, "content": ""}]


def _tool_result(block: JsonObject, where: str) -> JsonObject:
    given = block.get("content")
    if not isinstance(given, str | list | None):
        raise BadRequest(f"{where}.content is neither a text nor a list of blocks.", param=f"{where}.content")
    content: object = given or ""
    if isinstance(given, list):
        content = _content([_part(part, f"{where}.content.{at}") for at, part in enumerate(given)])
    return {"role": "tool", "tool_call_id": _text(block, "tool_use_id", where), "content": content}


def _part(block: object, where: str) -> JsonObject:
    """A text or an image in OpenAI's shape, and a document of plain text as its text. Raises BadRequest for any other."""
    kind = block.get("type") if isinstance(block, dict) else None
    if not isinstance(block, dict) or not isinstance(kind, str):
        raise BadRequest(f"{where} has no type.", param=where)
    found = block.get("source")
    source = found if isinstance(found, dict) else {}
    if kind == "text":
        return {"type": "text", "text": _text(block, "text", where)}
    if kind == "image" and source.get("type") == "url":
        return {"type": "image_url", "image_url": {"url": _text(source, "url", where)}}
    if kind == "image" and source.get("type") == "base64":
        data = f"data:{_text(source, 'media_type', where)};base64,{_text(source, 'data', where)}"
        return {"type": "image_url", "image_url": {"url": data}}
    if kind == "document" and source.get("type") == "text":
        return {"type": "text", "text": _text(source, "data", where)}
    raise _no_block(kind, where)


def _tools(body: JsonObject, read: CountBody) -> JsonObject:
    made: JsonObject = {}
    if read.tools:
        made["tools"] = [{"type": "function", "function": _function(tool)} for tool in body["tools"]]
    choice = read.tool_choice
    if choice is not None and choice.type == "tool" and choice.name is None:
        raise BadRequest("tool_choice.name is missing.", param="tool_choice.name")
    if choice is None or not read.tools:
        return made
    named = {"type": "function", "function": {"name": choice.name}}
    made["tool_choice"] = named if choice.type == "tool" else _CHOICES[choice.type]
    if choice.disable_parallel_tool_use:
        made["parallel_tool_calls"] = False
    return made


def _function(tool: JsonObject) -> JsonObject:
    described = {"description": tool["description"]} if tool.get("description") else {}
    return {"name": tool["name"], **described, "parameters": tool["input_schema"]}


def _output(read: CountBody) -> JsonObject:
    made: JsonObject = {}
    asked = read.output_config
    if asked is not None and asked.effort is not None:
        made["reasoning_effort"] = asked.effort
    if asked is not None and asked.format is not None:
        schema = {"name": "answer", "schema": asked.format.schema_, "strict": True}
        made["response_format"] = {"type": "json_schema", "json_schema": schema}
    return made


def _content(parts: list[JsonObject]) -> object:
    """Texts alone are one text."""
    return "".join(part["text"] for part in parts) if all(part["type"] == "text" for part in parts) else parts


def _text(block: JsonObject, name: str, where: str) -> str:
    value = block.get(name)
    if not isinstance(value, str):
        raise BadRequest(f"{where}.{name} is not a text.", param=f"{where}.{name}")
    return value


def _no_block(kind: object, where: str) -> BadRequest:
    return BadRequest(f"{where}: blocks of the type {str(kind)[:40]!r} are not supported.", param=where)
