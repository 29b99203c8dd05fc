"""Requests such as production has them, from the ledger, and what each costs at a day's prices.

A mean of tokens times a price is not a bill: long prompts have their own price, cached tokens theirs, and dollars vary more than
tokens do. So every request is priced, and figures are means over requests.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from distil.calls.prices import PriceQuote
from distil.records import Call, Usage

PRODUCTION = ("collect", "import", "serve")
"""Purposes of calls that ask what production asks. Writing prompts, judging and evaluating ask something else."""


class Tokens(NamedTuple):
    """The tokens of one request, as billed."""

    input_tokens: float
    """Cached ones included."""
    output_tokens: float
    """Reasoning included."""
    cached_tokens: float = 0.0
    cache_write_tokens: float = 0.0
    cache_write_1h_tokens: float = 0.0
    reasoning_tokens: float = 0.0

    @property
    def visible(self) -> float:
        """Tokens of the answer's text: what a student has to write, which does not reason unless it is taught to."""
        return max(self.output_tokens - self.reasoning_tokens, 0.0)


class Requests(NamedTuple):
    """Production-like requests."""

    tokens: list[Tokens]
    unknown: int
    """Answered ones whose tokens are not known, such as lines of a log without usage: they are not among `tokens`."""


def production_requests(calls: Iterable[Call], model: str) -> Requests:
    """What the ledger knows of the requests to a teacher."""
    tokens, unknown = [], 0
    for call in calls:
        if call.model != model or call.status != "answered" or call.purpose not in PRODUCTION:
            continue
        if call.usage.input_tokens == 0 and call.usage.output_tokens == 0:
            unknown += 1
        else:
            tokens.append(_tokens(call.usage))
    return Requests(tokens, unknown)


def _tokens(usage: Usage) -> Tokens:
    return Tokens(
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_tokens,
        usage.cache_write_tokens,
        usage.cache_write_1h_tokens,
        usage.reasoning_tokens,
    )


def with_means(requests: Sequence[Tokens], input_tokens: float | None, output_tokens: float | None) -> list[Tokens]:
    """The requests as the config describes them.

    Both means given: one such request, without cache or reasoning. One given: the measured requests, scaled to it.
    """
    if input_tokens is not None and output_tokens is not None:
        return [Tokens(input_tokens, output_tokens)]
    if not requests:
        return []
    ins = _factor(input_tokens, [r.input_tokens for r in requests])
    outs = _factor(output_tokens, [r.output_tokens for r in requests])
    if ins == outs == 1.0:
        return list(requests)
    return [
        Tokens(
            r.input_tokens * ins,
            r.output_tokens * outs,
            r.cached_tokens * ins,
            r.cache_write_tokens * ins,
            r.cache_write_1h_tokens * ins,
            r.reasoning_tokens * outs,
        )
        for r in requests
    ]


def _factor(wanted: float | None, measured: Sequence[float]) -> float:
    mean = sum(measured) / len(measured)
    return 1.0 if wanted is None or mean == 0 else wanted / mean


def dollars_of(requests: Sequence[Tokens], quotes: Sequence[tuple[float, PriceQuote]]) -> list[float]:
    """Dollars of each request at a day's prices, which may depend on the hour: requests come at all hours alike."""
    return [sum(share * quote.cost(request) for share, quote in quotes) for request in requests]
