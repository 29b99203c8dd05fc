"""Reads OpenAI-format request and reply logs, in whatever shape their lines are.

Shapes of a line: {"request": ..., "response": ...} (also with "body" inside, also with the field names of common proxies);
a stored chat completion with its own "messages"; a chat line {"messages": [..., assistant]}; and batch files, where request
and reply are two lines (of one or two files) with one custom_id. Writing to the ledger is importing.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from distil.errors import UserError
from distil.runs.jsonl import read_lines

Json = dict[str, Any]
REQUEST_FIELDS = ("request", "request_body", "input", "kwargs")
REPLY_FIELDS = ("response", "response_body", "output", "completion")


class Logged(NamedTuple):
    """One request with its reply."""

    where: str
    """File and line, for errors."""
    request: Json
    """OpenAI's chat request body; at least its messages."""
    reply: Json
    """OpenAI's chat completion body."""

    @property
    def model(self) -> str:
        """The model that answered, else the one that was requested; empty when the log has neither."""
        return str(self.reply.get("model") or self.request.get("model") or "")


class Unusable(NamedTuple):
    """A line without an answer: an error reply, or one half of a pair."""

    where: str
    why: str


def read_logs(paths: Sequence[Path]) -> Iterator[Logged | Unusable]:
    """Every request with its reply. Raises UserError with file and line when a line has none of the supported shapes.

    Halves of batch pairs stay in memory until the other half comes.
    """
    requests: dict[str, tuple[str, Json]] = {}
    replies: dict[str, tuple[str, Json]] = {}
    for path in paths:
        for number, line in read_lines(path):
            where = f"{path}, line {number}"
            name = line.get("custom_id")
            if name is None:
                yield _whole(where, line)
                continue
            is_reply = "response" in line or "error" in line or "result" in line
            (replies if is_reply else requests)[str(name)] = (where, line)
            if str(name) in requests and str(name) in replies:
                yield _pair(requests.pop(str(name))[1], *replies.pop(str(name)))
    for where, _ in replies.values():
        yield Unusable(where, "a batch reply without its request: import the batch's input file as well")
    for where, _ in requests.values():
        yield Unusable(where, "a batch request without a reply")


def _pair(request: Json, where: str, reply: Json) -> Logged | Unusable:
    response = reply.get("response") or {}
    if response.get("status_code") != 200:
        code = (reply.get("error") or {}).get("code") or response.get("status_code")
        return Unusable(where, f"the request failed ({code})")
    return _checked(where, request.get("body") or {}, response.get("body") or {})


def _whole(where: str, line: Json) -> Logged | Unusable:
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
        model, usage = line.get("model"), line.get("usage")
        reply = {"object": "chat.completion", "model": model, "choices": [choice], "usage": usage}
        return _checked(where, {**line, "messages": turns[:-1]}, reply)
    raise UserError(
        f"{where}: found the fields {', '.join(sorted(line)[:8]) or 'none'}; expected an OpenAI-format log: "
        '{"request": {"messages": ...}, "response": {"choices": ...}}, a chat completion with its messages, '
        '{"messages": [..., {"role": "assistant"}]}, or the input and output files of a batch.'
    )


def _checked(where: str, request: object, reply: object) -> Logged | Unusable:
    if not isinstance(request, dict) or not isinstance(reply, dict):
        return Unusable(where, "request or reply is not a JSON object")
    if reply.get("error"):
        return Unusable(where, "the reply is an error")
    if not isinstance(request.get("messages"), list) or not request["messages"]:
        return Unusable(where, "the request has no messages")
    if not isinstance(reply.get("choices"), list) or not reply["choices"]:
        return Unusable(where, "the reply has no choices")
    return Logged(where, request, reply)


def _first(line: Json, names: Sequence[str]) -> Any:
    return next((line[name] for name in names if line.get(name)), None)
