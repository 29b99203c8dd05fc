"""Requests with their replies from log files, whatever tool wrote them (distil/sources/), and the pairing of batch files.

In batch files request and reply are two lines, of one or two files, with one name. Writing to the ledger is importing.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from distil.calls.request import JsonObject
from distil.errors import UserError
from distil.sources.files import open_source
from distil.sources.replies import Answered
from distil.sources.requests import Asked
from distil.sources.rows import Exchange, is_half_of_batch, read_row
from distil.sources.values import Row, mapping


class Logged(NamedTuple):
    """One request with its reply."""

    exchange: Exchange
    asked: Asked
    answer: Answered
    fields: JsonObject
    """The whole line, of a pair both halves: what tools write beside request and reply, such as the time."""
    batch: bool = False
    """It was asked through a batch API, at its price."""

    @property
    def where(self) -> str:
        """File and line, for errors."""
        return self.exchange.where

    @property
    def model(self) -> str:
        """The model that answered, else the one that was requested; empty when the log has neither."""
        return self.answer.model or self.asked.model


class Unusable(NamedTuple):
    """A line without an answer: an error reply, one half of a pair, a step of a trace that calls no model."""

    where: str
    why: str


def read_logs(paths: Sequence[Path]) -> Iterator[Logged | Unusable]:
    """Every request with its reply. Raises UserError with file and line when a line has none of the supported shapes.

    Halves of batch pairs stay in memory until the other half comes.
    """
    requests: dict[str, Row] = {}
    replies: dict[str, Row] = {}
    for path in paths:
        for row in open_source(path, setting="--from-log"):
            name = is_half_of_batch(row.fields)
            if name is None:
                yield _logged(row)
                continue
            is_reply = any(key in row.fields for key in ("response", "result", "error"))
            (replies if is_reply else requests)[name] = row
            if name in requests and name in replies:
                yield _pair(requests.pop(name).fields, replies.pop(name))
    for row in replies.values():
        yield Unusable(row.where, "a batch reply without its request: import the batch's input file as well")
    for row in requests.values():
        yield Unusable(row.where, "a batch request without a reply")


def _pair(request: JsonObject, reply: Row) -> Logged | Unusable:
    """OpenAI's `response` with its status, Anthropic's `result` with its type, Gemini's bare `response`."""
    fields = reply.fields
    response, result = mapping(fields.get("response")), mapping(fields.get("result"))
    status = response.get("status_code", 200)
    if result.get("type", "succeeded") != "succeeded" or status != 200 or not (response or result):
        code = mapping(fields.get("error")).get("code") or result.get("type") or status
        return Unusable(reply.where, f"the request failed ({code})")
    body = result.get("message") if result else response.get("body", response)
    asked = next((request[key] for key in ("body", "params", "request") if key in request), None)
    logged = _logged(Row(reply.where, {"request": asked, "response": body}))
    return logged._replace(batch=True) if isinstance(logged, Logged) else logged


def _logged(row: Row) -> Logged | Unusable:
    exchange = read_row(row)
    if exchange.skip is not None:
        return Unusable(row.where, exchange.skip)
    if exchange.asked is None or not exchange.asked.turns:
        if exchange.logged:
            return Unusable(row.where, "the request has no messages")
        raise UserError(
            f"{row.where}: found the fields {', '.join(sorted(row.fields)[:8]) or 'none'}; expected a request with its reply, "
            'such as {"request": {"messages": ...}, "response": {"choices": ...}}, {"messages": [..., {"role": "assistant"}]}, a '
            "record of Langfuse, LangSmith, Helicone, LiteLLM, Braintrust or OpenTelemetry, or both files of a batch."
        )
    if exchange.answer is None:
        return Unusable(row.where, exchange.problem or "the line has no reply")
    return Logged(exchange, exchange.asked, exchange.answer, row.fields)
