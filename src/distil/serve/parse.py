"""A body becomes a ChatRequest, or a BadRequest that names the parameter: whatever a client sends, nothing else comes out.

Fields of earlier turns that replies add (refusal, annotations, audio, ...) are left out. What the student can't do, or was never
measured with, is marked in `beyond`, so that it goes to the teacher or is refused by name.
"""

from __future__ import annotations

import json
from typing import NoReturn, TypeVar

from pydantic import ValidationError

from distil.records import Message, Sampling, ToolChoice
from distil.runs.jsonl import describe
from distil.serve.wire import BadRequest, Beyond, Caller, ChatRequest, JsonObject
from distil.text import load_json, nested_deeper

T = TypeVar("T")
MOST_TOKENS = 10_000_000
MOST_DEPTH = 100
"""Nesting of a body; deeper than any request is, and far from Python's own limit."""
SEEDS = (-(1 << 63), (1 << 63) - 1)
_NEUTRAL = {"n": 1, "frequency_penalty": 0, "presence_penalty": 0, "logit_bias": {}}
"""Refused by name unless they change nothing."""
_READ = {
    "model", "messages", "temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed", "logprobs",
    "top_logprobs", "tools", "tool_choice", "parallel_tool_calls", "response_format", "stream", "stream_options", *_NEUTRAL,
}  # fmt: skip
_HARMLESS = {
    "user", "store", "metadata", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention",
}  # fmt: skip
"""OpenAI's parameters that don't change an answer."""
_ASKS_NOTHING: tuple[object, ...] = (None, False, [], {}, ["text"], "auto", "none")
"""Values with which any other parameter changes nothing."""


def parse_request(
    raw: bytes, *, served: str, temperature: float, max_tokens: int, caller: Caller = Caller()
) -> ChatRequest:
    """Reads and checks a request to the model `served`. Raises BadRequest that names the parameter."""
    body = _object(raw)
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequest("You must provide a model parameter.", param="model")
    if model != served:
        message = f"The model {model[:200]!r} does not exist here. Served: {served}."
        raise BadRequest(message, param="model", code="model_not_found", status=404)
    for name, neutral in _NEUTRAL.items():
        if body.get(name) not in (None, neutral, False if neutral == 0 else neutral):
            raise BadRequest(f"{name} = {str(body[name])[:100]} is not supported, only {neutral!r}.", param=name)
    messages = _messages(body.get("messages"))
    beyond, named = _beyond(body, messages)
    return ChatRequest(
        model=model,
        messages=messages,
        sampling=_sampling(body, temperature, max_tokens),
        tools=_tools(body),
        tool_choice=_tool_choice(body),
        response_format=_typed(body, "response_format", dict),
        stream=bool(_typed(body, "stream", bool)),
        include_usage=bool((_typed(body, "stream_options", dict) or {}).get("include_usage")),
        logprobs=bool(_typed(body, "logprobs", bool)),
        beyond=beyond,
        beyond_name=named,
        body=body,
        caller=caller,
    )


def _object(raw: bytes) -> JsonObject:
    try:
        body = load_json(raw)
        if b"NaN" in raw or b"Infinity" in raw:  # rarely, and then mostly inside a text
            json.loads(raw, parse_constant=_no_number)
    except RecursionError:
        raise BadRequest("The body is nested too deeply.") from None
    except ValueError as error:  # not JSON, not UTF-8, or a number of thousands of digits
        raise BadRequest(f"The body is not valid JSON: {str(error)[:200]}.") from None
    if not isinstance(body, dict):
        raise BadRequest(f"The body is a JSON {type(body).__name__}, expected an object.")
    if nested_deeper(body, MOST_DEPTH):
        raise BadRequest(f"The body is nested more than {MOST_DEPTH} levels deep.")
    return body


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _beyond(body: JsonObject, messages: list[Message]) -> tuple[Beyond | None, str]:
    """(why only the teacher may answer, what is meant)."""
    for message in messages:
        parts = message.content if isinstance(message.content, list) else []
        other = next((part.get("type") for part in parts if part.get("type") not in ("text", "refusal")), None)
        if other is not None:
            return "not_text", str(other)[:40]
    for name, value in body.items():
        if name not in _READ and name not in _HARMLESS and value not in _ASKS_NOTHING:
            return "unknown_parameter", name[:60]
    return ("stop_sequences", "stop") if body.get("stop") else (None, "")


def _messages(turns: object) -> list[Message]:
    if not isinstance(turns, list) or not turns:
        raise BadRequest("messages must be a list with at least one message.", param="messages")
    messages = []
    for index, turn in enumerate(turns):
        try:
            messages.append(Message.read(turn))
        except ValidationError as error:
            raise BadRequest(f"messages.{index}: {describe(error)}.", param=f"messages.{index}") from None
    if not any(m.text.strip() or isinstance(m.content, list) or m.tool_calls for m in messages):
        raise BadRequest("No message has any text.", param="messages")
    return messages


def _sampling(body: JsonObject, temperature: float, max_tokens: int) -> Sampling:
    stop, completion = body.get("stop"), body.get("max_completion_tokens")
    fields = {
        "temperature": body.get("temperature"),
        "top_p": body.get("top_p"),
        "max_tokens": body.get("max_tokens") if completion is None else completion,
        "stop": [stop] if isinstance(stop, str) else stop or None,
        "seed": body.get("seed"),
        "top_logprobs": body.get("top_logprobs"),
    }
    if fields["top_logprobs"] is not None and not body.get("logprobs"):
        raise BadRequest("top_logprobs needs logprobs: true.", param="top_logprobs")
    named = {name: value for name, value in fields.items() if value is not None}
    try:
        made = Sampling.model_validate({"temperature": temperature, "top_p": 1.0, "max_tokens": max_tokens} | named)
    except ValidationError as error:
        raise BadRequest(f"{describe(error)}.", param=str(error.errors()[0]["loc"][0])) from None
    if made.seed is not None and not SEEDS[0] <= made.seed <= SEEDS[1]:
        raise BadRequest("seed does not fit into 64 bits.", param="seed")
    if made.max_tokens > MOST_TOKENS:
        raise BadRequest(f"max_tokens is above {MOST_TOKENS:,}.", param="max_tokens")
    if any(not text for text in made.stop or ()):
        raise BadRequest("stop holds an empty text, which is everywhere.", param="stop")
    return made


def _tools(body: JsonObject) -> list[JsonObject] | None:
    tools = _typed(body, "tools", list)
    for index, tool in enumerate(tools or ()):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
            raise BadRequest(f"tools.{index} has no function with a name.", param=f"tools.{index}")
        if not isinstance(function.get("parameters") or {}, dict):
            raise BadRequest(f"tools.{index}.function.parameters is not an object.", param=f"tools.{index}")
    return tools


def _tool_choice(body: JsonObject) -> ToolChoice | None:
    choice = body.get("tool_choice")
    if choice in (None, "auto") or not body.get("tools"):
        return None
    if choice == "none" or choice == "required":  # so that the type is one of two words
        return choice
    if isinstance(choice, dict) and isinstance((choice.get("function") or {}), dict):
        return choice
    raise BadRequest("tool_choice is not auto, none, required or a tool.", param="tool_choice")


def _typed(body: JsonObject, name: str, kind: type[T]) -> T | None:
    value = body.get(name)
    if value is not None and not isinstance(value, kind):
        raise BadRequest(f"{name} is a JSON {type(value).__name__}, expected {kind.__name__}.", param=name)
    return value or None
