"""What a reply says was billed: tokens in each vendor's words, and dollars where the provider names them.

A count that can't be read (null, NaN, text without a number, negative, absurdly large) is 0 here, which means unknown: bills.py
then charges the most that it can be. Pure functions; no prices.

Reasoning inside or beside the answer's count is told apart by the total, which every vendor sums up: output is what the total
has beyond the prompt. xAI and Gemini's OpenAI endpoint count it beside, OpenAI and most others inside.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from distil.records import Usage

# No context window is near this; anything above is not a count of tokens.
MAX_TOKENS = 1_000_000_000
# A reply that costs more is not believed: it would end any run at once.
MAX_USD = 100_000.0
# docs.x.ai/developers/cost-tracking: 1 USD = 10,000,000,000 ticks.
TICKS_PER_USD = 1e10
LITELLM_COST = "x-litellm-response-cost"


class Told(NamedTuple):
    """Dollars that the provider itself says a reply cost."""

    usd: float
    source: str
    """The field that says so."""


def number(value: object) -> float | None:
    """A finite number of 0 or more, also one written as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        read = float(value)
    except (ValueError, OverflowError):
        return None
    return read if math.isfinite(read) and read >= 0 else None


def tokens(usage: object, *path: str) -> int:
    """The count at a path inside a usage object; 0 where there is none that can be read."""
    value: object = usage
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
        if value is None:
            return 0
    if type(value) is int and 0 <= value <= MAX_TOKENS:
        return value
    read = number(value)
    return math.ceil(read) if read is not None and read <= MAX_TOKENS else 0


def chat_usage(usage: object) -> Usage:
    """`usage` of OpenAI's chat completions, and of the vendors that copied it."""
    prompt = tokens(usage, "prompt_tokens")
    cached = (
        tokens(usage, "prompt_tokens_details", "cached_tokens")
        or tokens(usage, "prompt_cache_hit_tokens")  # DeepSeek
        or tokens(usage, "cached_tokens")  # Moonshot
        or tokens(usage, "num_cached_tokens")  # Mistral
    )
    written = tokens(usage, "prompt_tokens_details", "cache_write_tokens")
    completion, total = tokens(usage, "completion_tokens"), tokens(usage, "total_tokens")
    reasoning = tokens(usage, "completion_tokens_details", "reasoning_tokens")
    return _identity(prompt, completion, total, reasoning, cached, written)


def responses_usage(usage: object) -> Usage:
    """`usage` of OpenAI's Responses API."""
    return _identity(
        tokens(usage, "input_tokens"),
        tokens(usage, "output_tokens"),
        tokens(usage, "total_tokens"),
        tokens(usage, "output_tokens_details", "reasoning_tokens"),
        tokens(usage, "input_tokens_details", "cached_tokens"),
        tokens(usage, "input_tokens_details", "cache_write_tokens"),
    )


def google_usage(usage: object) -> Usage:
    """`usageMetadata` of Gemini. Thoughts are billed as output but counted apart; tool-use prompts are input."""
    thoughts = tokens(usage, "thoughtsTokenCount")
    prompt = tokens(usage, "promptTokenCount") + tokens(usage, "toolUsePromptTokenCount")
    answer, total = tokens(usage, "candidatesTokenCount"), tokens(usage, "totalTokenCount")
    return _identity(prompt, answer + thoughts, total, thoughts, tokens(usage, "cachedContentTokenCount"), 0)


def anthropic_usage(usage: object) -> Usage:
    """`usage` of Anthropic. `input_tokens` there is what the cache neither held nor took in; ours counts the whole prompt."""
    cached = tokens(usage, "cache_read_input_tokens")
    hour = tokens(usage, "cache_creation", "ephemeral_1h_input_tokens")
    by_age = hour + tokens(usage, "cache_creation", "ephemeral_5m_input_tokens")
    written = max(tokens(usage, "cache_creation_input_tokens"), by_age)
    output = tokens(usage, "output_tokens")
    thinking = tokens(usage, "output_tokens_details", "thinking_tokens")
    return Usage(
        input_tokens=tokens(usage, "input_tokens") + cached + written,
        output_tokens=output,
        cached_tokens=cached,
        reasoning_tokens=min(thinking, output),
        cache_write_tokens=written,
        cache_write_1h_tokens=hour,
    )


def converse_usage(usage: object) -> Usage:
    """`usage` of Bedrock's converse: like Anthropic's, the cache is counted beside `inputTokens`."""
    cached, written = tokens(usage, "cacheReadInputTokens"), tokens(usage, "cacheWriteInputTokens")
    details = usage.get("cacheDetails") if isinstance(usage, Mapping) else None
    hour = sum(
        tokens(item, "inputTokens")
        for item in (details if isinstance(details, list) else [])
        if isinstance(item, Mapping) and item.get("ttl") == "1h"
    )
    prompt = tokens(usage, "inputTokens") + cached + written
    found = _identity(prompt, tokens(usage, "outputTokens"), tokens(usage, "totalTokens"), 0, cached, written)
    return found.model_copy(update={"cache_write_1h_tokens": min(hour, written)})


def told_cost(usage: object, headers: Mapping[str, str] | None = None) -> Told | None:
    """What the reply says that it cost; None where it says nothing, or nothing believable.

    `usage.cost` (OpenRouter, and gateways like it; Perplexity's is an object with `total_cost`), `usage.cost_in_usd_ticks` (xAI),
    `usage.estimated_cost` (DeepInfra), and LiteLLM's header.
    """
    if isinstance(usage, Mapping):
        ticks = number(usage.get("cost_in_usd_ticks"))
        cost, field = usage.get("cost"), "usage.cost"
        if isinstance(cost, Mapping):
            cost, field = cost.get("total_cost"), "usage.cost.total_cost"
        usd = number(cost)
        if usd is not None and usage.get("is_byok") is True:
            # With a key of your own OpenRouter's cost is only its fee; the vendor behind it bills the rest.
            details = usage.get("cost_details")
            upstream = number(details.get("upstream_inference_cost")) if isinstance(details, Mapping) else None
            usd = None if upstream is None else usd + upstream
            field = "usage.cost and upstream_inference_cost"
        estimated = number(usage.get("estimated_cost"))
        for dollars, source in (
            (None if ticks is None else ticks / TICKS_PER_USD, "usage.cost_in_usd_ticks"),
            (usd, field),
            (estimated, "usage.estimated_cost"),
        ):
            if dollars is not None and dollars <= MAX_USD:
                return Told(dollars, source)
    header = number(headers.get(LITELLM_COST)) if headers else None
    # LiteLLM says 0 of a model that it has no price for.
    return Told(header, f"header {LITELLM_COST}") if header is not None and 0 < header <= MAX_USD else None


def _identity(prompt: int, completion: int, total: int, reasoning: int, cached: int, written: int) -> Usage:
    """Total = prompt + output, whatever a vendor counts where. Without a total, reasoning above completion must be beside it."""
    unexplained = total - prompt - completion
    if cached + written > prompt and unexplained in (0, cached + written):
        prompt += cached + written  # counted beside the prompt, as Anthropic does
        unexplained = total - prompt - completion
    output = completion + max(unexplained, 0) if prompt else completion
    if not total and reasoning > completion:
        output = completion + reasoning
    elif unexplained > 0 and prompt:
        reasoning = max(reasoning, unexplained)
    return Usage(
        input_tokens=prompt,
        output_tokens=output,
        cached_tokens=min(cached, prompt),
        reasoning_tokens=min(reasoning, output),
        cache_write_tokens=min(written, prompt - min(cached, prompt)),
    )
