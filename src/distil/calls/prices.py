"""What a call costs: dollars per million tokens, from the config or from the table that genai-prices carries (offline).

An unknown price is an error, never 0. What runs in this process costs 0 unless the config prices it.
"""

from __future__ import annotations

import functools
import importlib.metadata
from datetime import UTC, datetime
from typing import Any, NamedTuple

from distil.calls.config import Price
from distil.calls.providers.catalog import parse_model
from distil.calls.request import Tier
from distil.errors import UserError
from distil.records import Usage

MILLION = 1e6
_CONTEXT: dict[Tier, dict[str, str]] = {
    "standard": {},
    "flex": {"service_tier": "flex"},
    "batch": {"processing": "batch"},
}


class Band(NamedTuple):
    """Prices from so many input tokens on: some vendors charge long prompts more, for all their tokens."""

    above: int
    """Holds when the prompt has more input tokens than this."""
    input: float
    cached_input: float
    output: float


class PriceQuote(NamedTuple):
    """A price in dollars per million tokens, and where it comes from."""

    input: float
    output: float
    source: str
    """config, local, or genai-prices and its version."""
    date: str
    """The day for which it was looked up (ISO)."""
    tier: str = "standard"
    cached_input: float = 0.0
    bands: tuple[Band, ...] = ()
    """Higher prices for long prompts, by rising `above`."""
    discounted: bool = False
    """The tier has a price of its own; False for flex or batch: the table has none, and the standard price applies."""

    def cost(self, usage: Usage) -> float:
        """Dollars of what was billed; reasoning tokens are part of the output."""
        band = self._band(usage.input_tokens)
        fresh = max(usage.input_tokens - usage.cached_tokens, 0)
        return (
            fresh * band.input + usage.cached_tokens * band.cached_input + usage.output_tokens * band.output
        ) / MILLION

    def max_cost(self, input_tokens: int, output_tokens: int) -> float:
        """The most dollars that a call of at most so many tokens can cost."""
        candidates = [self._band(0), *(band for band in self.bands if input_tokens > band.above)]
        return max(
            (input_tokens * max(band.input, band.cached_input) + output_tokens * band.output) / MILLION
            for band in candidates
        )

    def _band(self, input_tokens: int) -> Band:
        for band in reversed(self.bands):
            if input_tokens > band.above:
                return band
        return Band(0, self.input, self.cached_input, self.output)


def price_of(model: str, config_price: Price | None = None, tier: Tier = "standard") -> PriceQuote:
    """The price of a model at a tier. The config's price overrules the table.

    Raises UserError with the config lines to write when the price is unknown.
    """
    today = datetime.now(UTC).date().isoformat()
    if config_price is not None:
        factor = {"standard": 1.0, "flex": config_price.flex_factor, "batch": config_price.batch_factor}[tier]
        cached = config_price.input if config_price.cached_input is None else config_price.cached_input
        fresh, output, cached = (price * factor for price in (config_price.input, config_price.output, cached))
        return PriceQuote(fresh, output, "config", today, tier, cached_input=cached, discounted=factor != 1.0)
    ref = parse_model(model)
    if ref.local:
        return PriceQuote(0.0, 0.0, "local", today, tier)
    if ref.prefix not in ("http", "https"):
        quote = _from_table(ref.prefix, ref.name, tier, today)
        if quote is not None:
            return quote
    raise UserError(
        f"The price of {model} is unknown: it is not in genai-prices {table_version()}. "
        "Write its price under its name in distil.yaml, in dollars per million tokens "
        f"(0 where it is your own machine):\n\n    model: {model}\n    price: {{input: 0.25, output: 2.0}}\n"
    )


def table_version() -> str:
    """Version of the price table."""
    return importlib.metadata.version("genai-prices")


@functools.lru_cache(maxsize=256)
def _from_table(prefix: str, name: str, tier: Tier, today: str) -> PriceQuote | None:
    from genai_prices import Usage as TableUsage
    from genai_prices import calc_price

    def lookup(context: dict[str, str]) -> Any | None:
        try:
            # The model's price object is read, not the sum: the hot path must not look a model up for each call.
            found = calc_price(
                TableUsage(input_tokens=1, output_tokens=1), name, provider_id=prefix, price_context=context or None
            )
        except LookupError:
            return None
        return found.model_price

    price = lookup(_CONTEXT[tier])
    if price is None or _base(price.input_mtok) is None or _base(price.output_mtok) is None:
        return None
    discounted = tier != "standard" and price != lookup({})
    cached = getattr(price, "cache_read_mtok", None)
    starts = sorted(
        {t.start for value in (price.input_mtok, price.output_mtok, cached) for t in getattr(value, "tiers", [])}
    )
    base, *bands = (_band_at(start, price.input_mtok, cached, price.output_mtok) for start in [0, *starts])
    source = f"genai-prices {table_version()}"
    return PriceQuote(base.input, base.output, source, today, tier, base.cached_input, tuple(bands), discounted)


def _band_at(start: int, input_price: Any, cached_price: Any, output_price: Any) -> Band:
    plain = _at(input_price, start)
    return Band(start, plain, plain if cached_price is None else _at(cached_price, start), _at(output_price, start))


def _base(price: Any) -> Any:
    return getattr(price, "base", price)


def _at(price: Any, start: int) -> float:
    value = _base(price)
    for tier in getattr(price, "tiers", []):
        if start >= tier.start:
            value = tier.price
    return float(value)
