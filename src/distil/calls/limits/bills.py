"""What one reply cost, and the most that the next can: the provider's own word first, then its tokens at the table's price.

A count that the reply does not name, although there must have been tokens, is charged at its reservation: taken as nothing,
the cap would cap nothing. Reservations learn: where a bill passed its reservation, the next are higher. Sends nothing.
"""

from __future__ import annotations

from typing import NamedTuple

from distil.calls.identity import wire_bytes
from distil.calls.prices import PriceQuote
from distil.calls.providers.base import Parsed
from distil.calls.request import JsonObject
from distil.records import Usage

# The table and the provider's word may differ so much before the user is told.
NOTEWORTHY = 0.05
# Before a model's first bill in this ledger, so many times its reservation must be free under the cap; after the first, three
# times; and less with each bill, until so many have shown what is usual.
CAUTION = 20.0
USUAL_AFTER = 40
# Template markers and hidden instructions that a vendor adds to a prompt, in tokens.
HIDDEN_PROMPT = 1_000


class Bill(NamedTuple):
    """The price of one reply."""

    usage: Usage
    """As it was charged: unknown counts are at their most."""
    usd: float
    source: str
    """Who says so: a field of the reply, the config, or the price table."""
    table_usd: float
    """What the tokens cost at the known price; the same as `usd` where the provider names no cost."""

    @property
    def differs(self) -> bool:
        """The provider's word is far from the known price."""
        return abs(self.usd - self.table_usd) > NOTEWORTHY * max(self.usd, self.table_usd)


def bill(parsed: Parsed, quote: PriceQuote, most_input: int, most_output: int) -> Bill:
    """The bill of a whole reply. most_input, most_output: the tokens that were reserved for it."""
    usage, source = parsed.usage, quote.source
    said_something = bool(parsed.text or parsed.reasoning or parsed.tool_calls)
    unknown: dict[str, int] = {}
    if usage.input_tokens == 0:
        unknown["input_tokens"] = most_input
    if usage.output_tokens == 0 and (said_something or usage.input_tokens == 0):
        unknown["output_tokens"] = most_output
    if parsed.told is not None:
        usd = parsed.told.usd
        table_usd = usd if unknown else quote.cost(usage)
        return Bill(usage, usd, f"{parsed.told.source} of the reply", table_usd)
    if unknown and quote.source != "local":
        usage = usage.model_copy(update=unknown)
        names = "tokens" if len(unknown) == 2 else next(iter(unknown)).replace("_", " ")
        source += f", at most: the reply names no {names}"
    usd = quote.cost(usage)
    return Bill(usage, usd, source, usd)


class Reservations:
    """The most that a request to one model can cost, by its price and by what its bills have shown so far.

    longest: tokens of the longest answer that passed its max_tokens; overrun: the largest bill relative to its reservation; both
    from earlier runs, 0 and 1 where none did. bills: how many of this model have been seen.
    """

    def __init__(self, longest: int = 0, overrun: float = 1.0, bills: int = 0) -> None:
        self.longest = longest
        self.overrun = max(overrun, 1.0)
        self._bills = bills
        self._dearest = 0.0

    def most(self, quotes: list[PriceQuote], input_tokens: int, max_tokens: int) -> float:
        """Dollars to set aside. quotes: the prices at which it may be billed."""
        output = max(max_tokens, self.longest)
        plain = max(quote.max_cost(input_tokens, output) for quote in quotes)
        return self.overrun * plain if plain > 0 else self._dearest

    @property
    def room(self) -> float:
        """How many times its reservation a request needs free under the cap, where others are in flight."""
        if self._bills == 0:
            return CAUTION
        return 1.0 + 2.0 / self._bills if self._bills < USUAL_AFTER else 1.0

    def learn(self, made: Bill, quotes: list[PriceQuote], input_tokens: int, max_tokens: int) -> bool:
        """Takes in one bill. True when reservations have changed."""
        before = self.longest, self.overrun, self._dearest
        self._bills += 1
        if made.usage.output_tokens > max_tokens:
            self.longest = max(self.longest, made.usage.output_tokens)
        plain = max(quote.max_cost(input_tokens, max(max_tokens, self.longest)) for quote in quotes)
        if plain > 0:
            self.overrun = max(self.overrun, made.usd / plain)
        else:
            self._dearest = max(self._dearest, made.usd)  # priced at 0 in the config, and billed all the same
        return self._bills <= USUAL_AFTER or (self.longest, self.overrun, self._dearest) != before


def row_bounds(body: JsonObject) -> tuple[int, int]:
    """(most input tokens, most output tokens) of a wire body: no token is shorter than a byte."""
    config = body.get("generationConfig")
    named = [body.get(name) for name in ("max_tokens", "max_completion_tokens", "max_output_tokens")]
    named.append(config.get("maxOutputTokens") if isinstance(config, dict) else None)
    return len(wire_bytes(body)) + HIDDEN_PROMPT, max((value for value in named if isinstance(value, int)), default=0)
