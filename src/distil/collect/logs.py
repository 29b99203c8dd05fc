"""Reads OpenAI-format request and reply logs: what was asked, what came back, whatever shape the lines have.

Shapes of a line: {"request": ..., "response": ...} (also with "body" inside, also the field names of common proxies);
a stored chat completion that carries its own "messages"; a chat line {"messages": [..., assistant]}; and batch files, where
the request and the reply are two lines (of one or two files) with one custom_id. Not the ledger: that is importing.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from distil.errors import UserError
from distil.runs.jsonl import read_lines

REQUEST_FIELDS = ("request", "request_body", "input", "kwargs")
REPLY_FIELDS = ("response", "response_body", "output", "completion")


class Logged(NamedTuple):
    """One request with its reply."""

    where: str
    """File and line, for errors."""
    request: dict[str, Any]
    """OpenAI's chat request body; at least its messages."""
    reply: dict[str, Any]
    """OpenAI's chat completion body."""

    @property
    def model(self) -> str:
        """The model that answered, else the one that was asked; empty when the log says neither."""
        return str(self.reply.get("model") or self.request.get("model") or "")


class Unusable(NamedTuple):
    """A line that holds no answer: an error reply, or one half of a pair."""

    where: str
    why: str


def read_logs(paths: Sequence[Path]) -> Iterator[Logged | Unusable]:
    """Every request with its reply. Raises UserError that names file and line when a line has none of the known shapes.

    Halves of batch pairs are held in memory until the other half comes.
    """
    asked: dict[str, tuple[str, dict[str, Any]]] = {}
    answered: dict[str, tuple[str, dict[str, Any]]] = {}
    for path in paths:
        for number, line in read_lines(path):
            where = f"{path}, line {number}"
            name = line.get("custom_id")
            if name is None:
                yield _whole(where, line)
                continue
            half = asked if "response" not in line and "error" not in line and "result" not in line else answered
            half[str(name)] = (where, line)
            if str(name) in asked and str(name) in answered:
                yield _pair(asked.pop(str(name))[1], *answered.pop(str(name)))
    for where, _ in answered.values():
        yield Unusable(where, "a batch reply without its request: import the batch's input file together with it")
    for where, _ in asked.values():
        yield Unusable(where, "a batch request without a reply")


def _pair(request: dict[str, Any], where: str, answer: dict[str, Any]) -> Logged | Unusable:
    response = answer.get("response") or {}
    if response.get("status_code") != 200:
        return Unusable(
            where, f"the request failed ({(answer.get('error') or {}).get('code') or response.get('status_code')})"
        )
    return _checked(where, request.get("body") or {}, response.get("body") or {})


def _whole(where: str, line: dict[str, Any]) -> Logged | Unusable:
    reply = _first(line, REPLY_FIELDS)
    request = _first(line, REQUEST_FIELDS)
    if isinstance(reply, dict):
        reply = reply.get("body", reply)
        if isinstance(request, list):
            request = {"messages": request}
        request = request if isinstance(request, dict) else line
        return _checked(where, request.get("body", request), reply)
    if isinstance(line.get("choices"), list):
        return _checked(where, request if isinstance(request, dict) else line, line)
    turns = line.get("messages")
    if isinstance(turns, list) and turns and isinstance(turns[-1], dict) and turns[-1].get("role") == "assistant":
        message = {"content": None, **turns[-1]}
        reason = "tool_calls" if message.get("tool_calls") else "stop"
        choice = {"index": 0, "message": message, "finish_reason": line.get("finish_reason") or reason}
        reply = {
            "object": "chat.completion",
            "model": line.get("model"),
            "choices": [choice],
            "usage": line.get("usage"),
        }
        return _checked(where, {**line, "messages": turns[:-1]}, reply)
    raise UserError(
        f"{where}: found the fields {', '.join(sorted(line)[:8]) or 'none'}; expected an OpenAI-format log: "
        '{"request": {"messages": ...}, "response": {"choices": ...}}, a chat completion with its messages, '
        '{"messages": [..., {"role": "assistant"}]}, or the input and output files of a batch.'
    )


def _checked(where: str, request: Any, reply: Any) -> Logged | Unusable:
    if not isinstance(request, dict) or not isinstance(reply, dict):
        return Unusable(where, "request or reply is no JSON object")
    if reply.get("error"):
        return Unusable(where, "the reply is an error")
    if not isinstance(request.get("messages"), list) or not request["messages"]:
        return Unusable(where, "the line does not say what was asked (no messages)")
    if not isinstance(reply.get("choices"), list) or not reply["choices"]:
        return Unusable(where, "the reply has no choices")
    return Logged(where, request, reply)


def _first(line: dict[str, Any], names: Sequence[str]) -> Any:
    return next((line[name] for name in names if line.get(name)), None)
