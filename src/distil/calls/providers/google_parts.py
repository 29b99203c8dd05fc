"""Gemini's contents and parts, to and from OpenAI's chat shape: turns, tools, images, thoughts, log-probabilities.

Pure functions; google.py puts them into a request and a reply.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from distil.calls.providers.blocks import arguments, chosen_tool, image, tool_call
from distil.calls.providers.common import mapping
from distil.calls.request import JsonObject
from distil.records import Message, ToolChoice
from distil.text import instructions, spoken_turns


def conversation(messages: Sequence[Message]) -> tuple[str, list[JsonObject]]:
    """(system instruction, contents). Tool results name the function that they answer; neighbors of one role are joined."""
    system = instructions(messages, "\n\n")
    contents: list[JsonObject] = []
    names: dict[str, str] = {}
    for message in spoken_turns(messages):
        for call in message.tool_calls or []:
            names[str(call.get("id", ""))] = str((call.get("function") or {}).get("name", ""))
        role = "model" if message.role == "assistant" else "user"
        parts = _parts(message, names)
        if contents and contents[-1]["role"] == role:
            contents[-1]["parts"] += parts
        else:
            contents.append({"role": role, "parts": parts})
    return system, contents


def _parts(message: Message, names: dict[str, str]) -> list[JsonObject]:
    if message.role == "tool":
        name = names.get(message.tool_call_id or "", message.name or message.tool_call_id or "")
        return [{"functionResponse": {"name": name, "response": {"result": message.text}}}]
    parts = [_part(part) for part in message.content] if isinstance(message.content, list) else []
    if isinstance(message.content, str) and (message.content or not message.tool_calls):
        parts.append({"text": message.content})
    return parts + [_call(call) for call in message.tool_calls or []]


def _part(part: JsonObject) -> JsonObject:
    if part.get("type") != "image_url":
        return {"text": str(part.get("text", ""))}
    kind, data = image(part)
    return {"fileData": {"fileUri": data}} if kind is None else {"inlineData": {"mimeType": kind, "data": data}}


def _call(call: JsonObject) -> JsonObject:
    function = call.get("function") or {}
    args = arguments(function.get("arguments"))
    part: JsonObject = {"functionCall": {"name": function.get("name", ""), "args": args}}
    signature = ((call.get("extra_content") or {}).get("google") or {}).get("thought_signature")
    if signature:
        part["thoughtSignature"] = signature
    return part


def tool_choice(choice: ToolChoice) -> JsonObject:
    """OpenAI's `tool_choice` as Gemini's functionCallingConfig."""
    if isinstance(choice, str):
        return {"mode": {"required": "ANY", "none": "NONE"}.get(choice, "AUTO")}
    return {"mode": "ANY", "allowedFunctionNames": [chosen_tool(choice)]}


def declaration(tool: JsonObject) -> JsonObject:
    """A function declaration."""
    function = tool.get("function") or tool
    made = {"name": function.get("name", "")}
    if function.get("description"):
        made["description"] = function["description"]
    if function.get("parameters"):
        made["parametersJsonSchema"] = function["parameters"]
    return made


def read(parts: Sequence[Any]) -> tuple[str, str, list[JsonObject]]:
    """(text, thoughts, tool calls in OpenAI's shape). A call's thought signature is kept: the next turn must carry it."""
    text, thoughts = list[str](), list[str]()
    calls: list[JsonObject] = []
    for part in parts:
        if not isinstance(part, dict):
            continue
        if isinstance(part.get("functionCall"), dict):
            call = part["functionCall"]
            made = tool_call(call.get("id") or f"call_{len(calls)}", call.get("name", ""), call.get("args"))
            if part.get("thoughtSignature"):
                made["extra_content"] = {"google": {"thought_signature": part["thoughtSignature"]}}
            calls.append(made)
        elif isinstance(part.get("text"), str):
            (thoughts if part.get("thought") else text).append(part["text"])
    return "".join(text), "\n".join(thoughts), calls


def logprobs(result: object) -> list[JsonObject] | None:
    """`logprobsResult` in the shape of OpenAI's `logprobs.content`; None where it has another shape than Google's."""
    result = mapping(result)
    chosen, tops = result.get("chosenCandidates"), result.get("topCandidates")
    if not isinstance(chosen, list) or not chosen or not all(isinstance(one, dict) for one in chosen):
        return None
    found = [mapping(top).get("candidates") for top in tops] if isinstance(tops, list) else []
    found += [None] * (len(chosen) - len(found))
    return [{**_logprob(one), "top_logprobs": _tops(top)} for one, top in zip(chosen, found, strict=False)]


def _tops(candidates: object) -> list[JsonObject]:
    found = candidates if isinstance(candidates, list) else []
    return [_logprob(candidate) for candidate in found if isinstance(candidate, dict)]


def _logprob(candidate: JsonObject) -> JsonObject:
    token, token_id = candidate.get("token", ""), candidate.get("tokenId")
    return {"token": token, "token_id": token_id, "logprob": candidate.get("logProbability")}
