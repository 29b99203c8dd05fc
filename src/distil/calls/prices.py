"""What a call costs: dollars per million tokens, from the config or from the table that genai-prices carries (offline).

An unknown price is an error, never 0. What runs in this process costs 0 unless the config prices it.
"""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple, Protocol

from distil.calls.config import Price
from distil.calls.providers.catalog import ModelRef, parse_model, price_id
from distil.calls.request import Tier
from distil.errors import UserError

MILLION = 1e6
HALF_HOURS = [timedelta(minutes=30 * step) for step in range(48)]
# What a cache charges for taking tokens in, relative to plain input: 5 minutes and 1 hour at Anthropic
# (platform.claude.com/docs, "Prompt caching"), and the first of them at OpenAI from GPT-5.6 on.
CACHE_WRITE, CACHE_WRITE_1H = 1.25, 2.0
_CONTEXT: dict[Tier, dict[str, str]] = {
    "standard": {},
    "flex": {"service_tier": "flex"},
    "batch": {"processing": "batch"},
}


class Billable(Protocol):
    """What is billed: a Usage, or means of several."""

    @property
    def input_tokens(self) -> float: ...
    @property
    def output_tokens(self) -> float: ...
    @property
    def cached_tokens(self) -> float: ...
    @property
    def cache_write_tokens(self) -> float: ...
    @property
    def cache_write_1h_tokens(self) -> float: ...


class Band(NamedTuple):
    """Prices from so many input tokens on: some vendors charge long prompts more, for all their tokens."""

    above: int
    """Holds when the prompt has more input tokens than this."""
    input: float
    cached_input: float
    output: float
    cache_write: float
    cache_write_1h: float


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
    cache_write: float | None = None
    """Input that the provider's cache takes in; None: the usual 1.25 times `input`."""
    cache_write_1h: float | None = None
    """The same for an hour; None: the usual 2 times `input`."""

    def cost(self, usage: Billable) -> float:
        """Dollars of what was billed; reasoning tokens are part of the output."""
        band = self._band(usage.input_tokens)
        hour = min(usage.cache_write_1h_tokens, usage.cache_write_tokens)
        parts = (
            (max(usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens, 0), band.input),
            (usage.cached_tokens, band.cached_input),
            (usage.cache_write_tokens - hour, band.cache_write),
            (hour, band.cache_write_1h),
            (usage.output_tokens, band.output),
        )
        return sum(tokens * price for tokens, price in parts) / MILLION

    def max_cost(self, input_tokens: int, output_tokens: int) -> float:
        """The most dollars that a call of at most so many tokens can cost. No request of ours asks for a cache to be filled."""
        if not self.bands:
            return (input_tokens * max(self.input, self.cached_input) + output_tokens * self.output) / MILLION
        candidates = [self._band(0), *(band for band in self.bands if input_tokens > band.above)]
        return max(
            (input_tokens * max(band.input, band.cached_input) + output_tokens * band.output) / MILLION
            for band in candidates
        )

    def _band(self, input_tokens: float) -> Band:
        for band in reversed(self.bands):
            if input_tokens > band.above:
                return band
        write = self.input * CACHE_WRITE if self.cache_write is None else self.cache_write
        hour = self.input * CACHE_WRITE_1H if self.cache_write_1h is None else self.cache_write_1h
        return Band(0, self.input, self.cached_input, self.output, write, hour)


def price_of(
    model: str, config_price: Price | None = None, tier: Tier = "standard", at: datetime | None = None
) -> PriceQuote:
    """The price of a model at a tier and a time (default: now). The config's price overrules the table.

    Raises UserError with the config lines to write when the price is unknown.
    """
    at = datetime.now(UTC) if at is None else at
    today = at.date().isoformat()
    if config_price is not None:
        factor = {"standard": 1.0, "flex": config_price.flex_factor, "batch": config_price.batch_factor}[tier]
        cached = config_price.input if config_price.cached_input is None else config_price.cached_input
        fresh, output, cached = (price * factor for price in (config_price.input, config_price.output, cached))
        return PriceQuote(fresh, output, "config", today, tier, cached_input=cached, discounted=factor != 1.0)
    ref = parse_model(model)
    if ref.local:
        return PriceQuote(0.0, 0.0, "local", today, tier)
    if ref.prefix == "ollama":
        return PriceQuote(0.0, 0.0, "local", today, tier)
    vendor = price_id(ref)
    quote = _from_table(vendor, _listed(ref), tier, _slot(at)) if vendor is not None else None
    if quote is not None:
        return quote
    raise UserError(
        f"The price of {model} is unknown: it is not in genai-prices {table_version()}. "
        "Write its price under its name in distil.yaml, in dollars per million tokens "
        f"(0 where it is your own machine):\n\n    model: {model}\n    price: {{input: 0.25, output: 2.0}}\n"
    )


def _listed(ref: ModelRef) -> str:
    """The name in the table: without the host behind Hugging Face's router."""
    return ref.name.partition(":")[0] if ref.prefix == "huggingface" else ref.name


def table_version() -> str:
    """Version of the price table."""
    return importlib.metadata.version("genai-prices")


def _slot(at: datetime) -> datetime:
    """The half hour that a time belongs to: prices that depend on the hour change at full and at half hours."""
    return at.replace(minute=at.minute // 30 * 30, second=0, microsecond=0)


def quotes_of_day(
    model: str, config_price: Price | None, day: datetime, tier: Tier = "standard"
) -> list[tuple[float, PriceQuote]]:
    """The prices of one day, each with its share of the hours: one, where the price does not depend on the hour."""
    midnight = day.replace(hour=0, minute=0, second=0, microsecond=0)
    found: dict[PriceQuote, int] = {}
    for half_hour in HALF_HOURS:
        quote = price_of(model, config_price, tier, midnight + half_hour)
        found[quote] = found.get(quote, 0) + 1
    return [(count / len(HALF_HOURS), quote) for quote, count in found.items()]


def price_changes(model: str, config_price: Price | None, after: datetime, days: int) -> list[datetime]:
    """When the table's price of a model changes within so many days after a time, at midnight UTC."""
    ref = parse_model(model)
    if config_price is not None or ref.local or (vendor := price_id(ref)) is None:
        return []
    last = after + timedelta(days=days)
    starts = {datetime(day.year, day.month, day.day, tzinfo=UTC) for day in _start_dates(vendor, _listed(ref))}
    return sorted(day for day in starts if after < day <= last)


def _start_dates(prefix: str, name: str) -> Iterator[date]:
    from genai_prices import Usage as TableUsage
    from genai_prices import calc_price

    try:
        found = calc_price(TableUsage(input_tokens=1, output_tokens=1), name, provider_id=prefix)
    except LookupError:
        return
    prices = found.model.prices
    for entry in prices if isinstance(prices, list) else ():
        start = getattr(entry.constraint, "start_date", None)
        if start is not None:
            yield start


@functools.lru_cache(maxsize=4096)
def _from_table(prefix: str, name: str, tier: Tier, at: datetime) -> PriceQuote | None:
    from genai_prices import Usage as TableUsage
    from genai_prices import calc_price

    def lookup(context: dict[str, str]) -> Any | None:
        try:
            # The model's price object is read, not the sum: the hot path must not look a model up for each call.
            found = calc_price(
                TableUsage(input_tokens=1, output_tokens=1),
                name,
                provider_id=prefix,
                price_context=context or None,
                genai_request_timestamp=at,
            )
        except LookupError:
            return None
        return found.model_price

    price = lookup(_CONTEXT[tier])
    if price is None or _base(price.input_mtok) is None or _base(price.output_mtok) is None:
        return None
    discounted = tier != "standard" and price != lookup({})
    values = _Prices(
        price.input_mtok,
        price.output_mtok,
        getattr(price, "cache_read_mtok", None),
        getattr(price, "cache_write_mtok", None),
        getattr(price, "cache_write_1h_mtok", None),
    )
    starts = sorted({t.start for value in values for t in getattr(value, "tiers", [])})
    base, *bands = (_band_at(start, values) for start in [0, *starts])
    source = f"genai-prices {table_version()}"
    return PriceQuote(
        base.input,
        base.output,
        source,
        at.date().isoformat(),
        tier,
        base.cached_input,
        tuple(bands),
        discounted,
        base.cache_write,
        base.cache_write_1h,
    )


class _Prices(NamedTuple):
    """Prices of the table, each a number or one that grows with the prompt."""

    input: object
    output: object
    cache_read: object
    cache_write: object
    cache_write_1h: object


def _band_at(start: int, prices: _Prices) -> Band:
    plain = _at(prices.input, start)
    return Band(
        above=start,
        input=plain,
        cached_input=plain if prices.cache_read is None else _at(prices.cache_read, start),
        output=_at(prices.output, start),
        cache_write=plain * CACHE_WRITE if prices.cache_write is None else _at(prices.cache_write, start),
        cache_write_1h=plain * CACHE_WRITE_1H if prices.cache_write_1h is None else _at(prices.cache_write_1h, start),
    )


def _base(price: Any) -> Any:
    return getattr(price, "base", price)


def _at(price: Any, start: int) -> float:
    value = _base(price)
    for tier in getattr(price, "tiers", []):
        if start >= tier.start:
            value = tier.price
    return float(value)
