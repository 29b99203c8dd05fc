"""Reads a log of any shape once: every request is priced, and a fair sample of them is kept for what is measured on texts.

Memory does not grow with the log, but for 16 bytes a request: only the sample holds texts, each cut to what is looked at.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from distil.calls.request import Tier
from distil.collect.logs import Logged, Unusable, read_logs
from distil.errors import UserError
from distil.forecast.prices import PriceList
from distil.forecast.times import Span, time_of
from distil.formats.tokens import PER_TURN, estimate
from distil.progress import track
from distil.records import Message, Usage
from distil.text import Calls, answer_key, conversation_text, instructions

KEPT = 6_000
"""Characters of a text that are kept: its first two thirds and its end."""
MAX_EXAMPLES = 3


class Request(NamedTuple):
    """One request of the sample."""

    messages: Sequence[Message]
    """Every turn before the answer, long texts cut."""
    told: str
    """The operator's instructions, cut."""
    asked: str
    """The turns themselves, cut."""
    answer: str
    """The answer's text, cut."""
    key: str
    """Equal for equal answers (text.answer_key of the whole answer)."""
    question: bytes
    """Equal for equal requests."""
    calls: Calls | None
    """Tools that the answer calls."""
    tools: bool
    """Tools were offered."""
    attached: bool
    """It shows an image, a sound or a file."""
    model: str
    usage: Usage
    """As billed, or as estimated."""
    usd: float | None
    """None: the model's price is unknown."""


@dataclass
class ModelTotals:
    """What a log holds of one model."""

    requests: int = 0
    estimated: int = 0
    """Of them, those whose tokens the log does not have."""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    unpriced: int = 0
    """Requests whose price is unknown."""
    usd: float = 0.0
    estimated_usd: float = 0.0
    """The part of the dollars that rests on estimated tokens."""
    priced_as: str = ""
    """Where its price is listed; empty: in no list."""
    source: str = ""
    """Whose price it is."""


@dataclass
class Traffic:
    """A log."""

    models: dict[str, ModelTotals] = field(default_factory=dict)
    sample: list[Request] = field(default_factory=list)
    requests: int = 0
    """Answered ones."""
    repeated: int = 0
    """Of them, those that had been asked before, word for word."""
    unusable: int = 0
    """Lines without an answer."""
    examples: list[str] = field(default_factory=list)
    """The first few of these lines."""
    span: Span = field(default_factory=Span)
    """From the first to the last request, where the log has times."""
    dollars: list[float] = field(default_factory=list)
    """Of each priced request."""


class Reading(NamedTuple):
    """How a log is read."""

    rows: int
    """Requests in the sample."""
    model: str = ""
    """The model of requests that name none."""
    seed: int = 0


def read_traffic(paths: Sequence[Path], prices: PriceList, reading: Reading) -> Traffic:
    """The log, priced. Raises UserError: a broken line, no answers, or an empty file."""
    traffic, seen, draw = Traffic(), set[bytes](), random.Random(reading.seed)
    for line in track(read_logs(paths), "Reading the log", None, "lines"):
        if isinstance(line, Unusable):
            _skip(traffic, line)
            continue
        traffic.requests += 1
        question = _question(line)
        traffic.repeated += question in seen
        seen.add(question)
        traffic.span.add(time_of(line))
        usage, usd = _bill(traffic, line, prices, reading.model)
        place = len(traffic.sample) if len(traffic.sample) < reading.rows else draw.randrange(traffic.requests)
        if place < reading.rows:  # reservoir sampling (Vitter 1985, algorithm R)
            request = _kept(line, question, usage, usd, reading.model)
            if place == len(traffic.sample):
                traffic.sample.append(request)
            else:
                traffic.sample[place] = request
    if not traffic.requests:
        raise UserError(_nothing(paths, traffic))
    return traffic


def _skip(traffic: Traffic, line: Unusable) -> None:
    traffic.unusable += 1
    if len(traffic.examples) < MAX_EXAMPLES:
        traffic.examples.append(f"{line.where}: {line.why}")


def _nothing(paths: Sequence[Path], traffic: Traffic) -> str:
    names = ", ".join(str(path) for path in paths)
    if not traffic.unusable:
        return f"{names}: found no lines. Expected a log of requests with their replies; docs/data_formats.md lists what is read."
    return (
        f"{names}: none of the {traffic.unusable:,} lines holds a request with its reply ({traffic.examples[0]}). A forecast "
        "needs the answers that were paid for; docs/data_formats.md lists the logs that are read."
    )


def _question(line: Logged) -> bytes:
    asked = line.asked
    content = json.dumps([asked.turns, asked.tools, asked.response_format], sort_keys=True, default=str)
    return hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=12).digest()


def _bill(traffic: Traffic, line: Logged, prices: PriceList, default: str) -> tuple[Usage, float | None]:
    parsed, model = line.answer.parsed, line.model or default
    tier: Tier = "batch" if line.batch else "flex" if parsed.served_tier == "flex" else "standard"
    priced = prices.of(model, line.answer.wire, tier)
    totals = traffic.models.setdefault(model, ModelTotals())
    known = bool(parsed.usage.input_tokens or parsed.usage.output_tokens)
    usage = parsed.usage if known else _estimated(line)
    usd = parsed.told.usd if parsed.told is not None else priced.cost(usage)
    totals.requests += 1
    totals.input_tokens += usage.input_tokens
    totals.output_tokens += usage.output_tokens
    totals.cached_tokens += usage.cached_tokens
    totals.estimated += not known
    totals.unpriced += usd is None
    if usd is not None:
        totals.usd += usd
        totals.estimated_usd += 0.0 if known or parsed.told is not None else usd
        traffic.dollars.append(usd)
        totals.priced_as = totals.priced_as or priced.name or model
        totals.source = totals.source or (priced.quotes[0][1].source if priced.quotes else "the replies themselves")
    return usage, usd


def _estimated(line: Logged) -> Usage:
    """Tokens by the texts: what was thought and not said is unknown, and so are images."""
    texts = list(_texts([line.asked.turns, line.asked.tools]))
    said = [line.answer.parsed.text, *_texts(line.answer.parsed.tool_calls)]
    return Usage(
        input_tokens=sum(map(estimate, texts)) + PER_TURN * (len(line.asked.turns) + 1),
        output_tokens=sum(map(estimate, said)),
    )


def _texts(value: object) -> Iterator[str]:
    """Every text inside a value, but for data URLs."""
    if isinstance(value, str) and not value.startswith("data:"):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _kept(line: Logged, question: bytes, usage: Usage, usd: float | None, default: str) -> Request:
    messages = line.exchange.messages()
    parsed = line.answer.parsed
    attached = any(
        isinstance(message.content, list) and any(part.get("type") != "text" for part in message.content)
        for message in messages
    )
    return Request(
        [Message(role=message.role, content=cut(message.text)) for message in messages],
        cut(instructions(messages)),
        cut(conversation_text(messages)),
        cut(parsed.text),
        hashlib.blake2b(
            answer_key(parsed.text, parsed.tool_calls).encode("utf-8", "replace"), digest_size=12
        ).hexdigest(),
        question,
        parsed.tool_calls,
        bool(line.asked.tools),
        attached,
        line.model or default,
        usage,
        usd,
    )


def cut(text: str, most: int = KEPT) -> str:
    """The beginning and the end of a long text."""
    if len(text) <= most:
        return text
    first = most * 2 // 3
    return f"{text[:first]}\n{text[first - most :]}"
