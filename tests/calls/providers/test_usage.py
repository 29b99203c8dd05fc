"""What replies say was billed, in each vendor's words; checked against 551 recorded replies of real APIs."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from genai_prices import calc_price
from genai_prices.types import Usage as TableUsage

from distil.calls.config import Price
from distil.calls.limits.bills import bill
from distil.calls.prices import price_of
from distil.calls.providers.base import Parsed
from distil.calls.providers.usage import (
    anthropic_usage,
    chat_usage,
    converse_usage,
    google_usage,
    number,
    responses_usage,
    tokens,
    told_cost,
)
from distil.records import Usage

READERS = {"usage": chat_usage, "responses": responses_usage, "anthropic": anthropic_usage, "google": google_usage}


@pytest.mark.parametrize(
    "value", [None, True, "many", "", float("nan"), float("inf"), -1, "-3", [], {}, 10**30, "1e400", 10**400]
)
def test_what_is_no_count_is_unknown(value: object) -> None:
    assert tokens({"completion_tokens": value}, "completion_tokens") == 0
    assert tokens({"completion_tokens": {"a": value}}, "completion_tokens") == 0


@pytest.mark.parametrize(("value", "read"), [(7, 7), (7.0, 7), ("7", 7), (" 7.0 ", 7), (6.2, 7)])
def test_counts_are_read_also_as_text_and_fractions(value: object, read: int) -> None:
    assert tokens({"n": value}, "n") == read


@pytest.mark.parametrize(
    ("usage", "output", "reasoning"),
    [
        ((100, 50, 180, 30), 80, 30),  # beside the answer: xAI
        ((100, 50, 150, 30), 50, 30),  # inside: OpenAI, DeepSeek, Groq, Cerebras
        ((35, 12, 109, 0), 74, 62),  # only in the total: Gemini's OpenAI endpoint, a recorded reply
        ((100, 50, 0, 80), 130, 80),  # no total, and more reasoning than answer: beside it
        ((100, 50, 0, 30), 50, 30),
        ((100, 50, 120, 0), 50, 0),  # a total that is too small explains nothing
        ((0, 50, 180, 0), 50, 0),  # an unknown prompt: the difference may be the prompt
    ],
)
def test_output_is_what_the_total_has_beyond_the_prompt(
    usage: tuple[int, int, int, int], output: int, reasoning: int
) -> None:
    prompt, completion, total, thought = usage
    read = chat_usage(
        {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": total,
            "completion_tokens_details": {"reasoning_tokens": thought},
        }
    )
    assert (read.input_tokens, read.output_tokens, read.reasoning_tokens) == (prompt, output, reasoning)


def test_a_cache_that_is_counted_beside_the_prompt_is_prompt() -> None:
    """A proxy in front of Anthropic passes its counts on: the total's rest is the cache, not the answer."""
    usage = {"prompt_tokens": 6, "completion_tokens": 489, "total_tokens": 20938}
    read = chat_usage({**usage, "prompt_tokens_details": {"cached_tokens": 20443}})
    assert read == Usage(input_tokens=20449, output_tokens=489, cached_tokens=20443)


def test_cache_writes_cost_more_than_plain_input() -> None:
    """platform.claude.com/docs: 1.25 times for 5 minutes, 2 times for an hour."""
    million = 1_000_000
    written = Usage(input_tokens=million, cache_write_tokens=million)
    hour = written.model_copy(update={"cache_write_1h_tokens": million})
    quote, own = price_of("anthropic/claude-sonnet-4-5"), price_of("http://127.0.0.1/v1#m", Price(input=4, output=8))
    assert own.cost(written) == pytest.approx(5.0) and own.cost(hour) == pytest.approx(8.0)
    table = calc_price(
        TableUsage(input_tokens=100, cache_write_tokens=100), "claude-sonnet-4-5", provider_id="anthropic"
    )
    few = Usage(input_tokens=100, cache_write_tokens=100)
    assert quote.cost(few) == pytest.approx(float(table.total_price)) == pytest.approx(100 * 3.75 / 1e6)


@pytest.mark.parametrize(
    ("usage", "usd"),
    [
        ({"cost": 0.00183, "is_byok": False}, 0.00183),
        ({"cost": "0.5"}, 0.5),
        ({"cost": 0}, 0.0),
        ({"cost": 0, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.0003253}}, 0.0003253),
        ({"cost": 0.01, "is_byok": True, "cost_details": {"upstream_inference_cost": None}}, None),
        ({"cost": {"total_cost": 0.006}}, 0.006),
        ({"cost_in_usd_ticks": 37756000}, 0.0037756),
        ({"estimated_cost": 0.0000268}, 0.0000268),
        ({"cost": float("nan")}, None),
        ({"cost": -1}, None),
        ({"cost": 1e30}, None),
        ({"cost_in_usd_ticks": "garbage"}, None),
        ([], None),
        (None, None),
    ],
)
def test_the_cost_that_a_provider_names(usage: object, usd: float | None) -> None:
    told = told_cost(usage)
    assert (None if told is None else told.usd) == (None if usd is None else pytest.approx(usd))


def test_litellms_header_counts_unless_it_is_zero() -> None:
    told = told_cost({}, {"x-litellm-response-cost": "1.2e-05"})
    assert told is not None and told.usd == 1.2e-5 and "litellm" in told.source
    assert told_cost({}, {"x-litellm-response-cost": "0.0"}) is None
    assert told_cost({}, {"x-litellm-response-cost": "None"}) is None


def replies(path: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    with gzip.open(path, "rt") as file:
        for line in file:
            reply = json.loads(line)
            try:
                body = json.loads(reply["body"])
            except ValueError:
                continue
            if reply["status"] == 200 and isinstance(body, dict):
                yield reply, body


def read_usage(reply: dict[str, Any], body: dict[str, Any]) -> tuple[Usage, int] | None:
    """(as we read it, the total that the reply itself names or 0)."""
    usage = body.get("usage")
    if isinstance(body.get("usageMetadata"), dict):
        return google_usage(body["usageMetadata"]), tokens(body, "usageMetadata", "totalTokenCount")
    if not isinstance(usage, dict):
        return None
    total = tokens(usage, "total_tokens") or tokens(usage, "totalTokens")
    if "inputTokens" in usage:
        return converse_usage(usage), total
    if "prompt_tokens" in usage:
        return chat_usage(usage), total
    if reply["path"].endswith("responses"):
        return responses_usage(usage), total
    return anthropic_usage(usage), total


def test_real_replies_add_up_to_their_own_totals(data_dir: Callable[[str], Path]) -> None:
    checked = 0
    for reply, body in replies(data_dir("replies/replies.jsonl.gz")):
        found = read_usage(reply, body)
        if found is None:
            continue
        usage, total = found
        assert usage.cached_tokens + usage.cache_write_tokens <= usage.input_tokens
        assert usage.reasoning_tokens <= usage.output_tokens
        if total and usage.input_tokens:
            assert usage.input_tokens + usage.output_tokens == total, (reply["host"], body.get("usage"))
            checked += 1
    assert checked > 350


def test_real_replies_are_billed_at_openrouters_own_cost(data_dir: Callable[[str], Path]) -> None:
    told, differ = 0, 0
    for reply, body in replies(data_dir("replies/replies.jsonl.gz")):
        cost = number(body["usage"].get("cost")) if isinstance(body.get("usage"), dict) else None
        if reply["host"] != "openrouter.ai" or cost is None:
            continue
        usage = read_usage(reply, body)
        assert usage is not None
        parsed = Parsed(text="a", finish_reason="stop", usage=usage[0], told=told_cost(body["usage"]))
        made = bill(parsed, price_of("openrouter/m", Price(input=1, output=1)), 100, 100)
        expected = body["usage"]["cost_details"]["upstream_inference_cost"] if body["usage"].get("is_byok") else cost
        assert made.usd == pytest.approx(expected) and made.source.endswith("of the reply")
        told, differ = told + 1, differ + made.differs
    assert told > 15 and differ > 10


def test_real_costs_agree_with_the_price_table(data_dir: Callable[[str], Path]) -> None:
    """Anthropic's and OpenAI's models behind OpenRouter cost what their own prices say, cache writes included."""
    close = 0
    for reply, body in replies(data_dir("replies/replies.jsonl.gz")):
        usage = body.get("usage")
        if reply["host"] != "openrouter.ai" or not isinstance(usage, dict) or "cost" not in usage:
            continue
        vendor, _, name = str(body.get("model")).partition("/")
        if vendor == "anthropic":  # claude-4.6-sonnet-20260217 is claude-sonnet-4-6 elsewhere
            _, version, family, _ = name.split("-")
            name = f"claude-{family}-{version.replace('.', '-')}"
        details = usage.get("cost_details") or {}
        if vendor not in ("anthropic", "openai") or details.get("upstream_inference_cost") != usage["cost"]:
            continue
        found = read_usage(reply, body)
        assert found is not None
        cost = price_of(f"{vendor}/{name}").cost(found[0])
        if cost == pytest.approx(usage["cost"], rel=0.02):
            close += 1
    assert close >= 6
