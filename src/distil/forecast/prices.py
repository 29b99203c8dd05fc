"""The price of a model as a log names it: without the provider, with a date at its end, or as another tool spells it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from distil.calls.config import Price, TeacherConfig
from distil.calls.prices import Billable, PriceQuote, quotes_of_day
from distil.calls.providers.names import likely
from distil.calls.request import Tier
from distil.errors import UserError
from distil.sources.replies import Wire

_OF_WIRE: Mapping[Wire | None, tuple[str, ...]] = {
    "chat": ("openai",),
    "responses": ("openai",),
    "anthropic": ("anthropic",),
    "google": ("google",),
    "bedrock": ("bedrock",),
    None: (),
}


class Priced(NamedTuple):
    """What one model's requests cost."""

    name: str
    """Under which name the price was found, such as openai/gpt-4o; empty: it was not."""
    quotes: Sequence[tuple[float, PriceQuote]]
    """Prices with their shares of a day; none: unknown."""

    def cost(self, usage: Billable) -> float | None:
        """Dollars of one request; None where the price is unknown."""
        if not self.quotes:
            return None
        return sum(share * quote.cost(usage) for share, quote in self.quotes)


class PriceList:
    """Looks each model up once. own: prices that the user gave, by name; they overrule the table."""

    def __init__(self, own: Mapping[str, Price], teachers: Sequence[TeacherConfig], day: datetime) -> None:
        self._own = dict(own)
        for teacher in teachers:
            if teacher.price is not None:
                for name in (teacher.model, teacher.model.partition("/")[2], teacher.model.partition("#")[2]):
                    if name:  # requests that name no model are nobody's
                        self._own.setdefault(name, teacher.price)
        self._teachers = [teacher.model for teacher in teachers]
        self._day = day
        self._found: dict[tuple[str, Wire | None, Tier], Priced] = {}

    def of(self, model: str, wire: Wire | None, tier: Tier = "standard") -> Priced:
        """The price of a model; `wire` says whose API answered where the name does not."""
        key = (model, wire, tier)
        if key not in self._found:
            self._found[key] = self._look_up(*key)
        return self._found[key]

    def _look_up(self, model: str, wire: Wire | None, tier: Tier) -> Priced:
        if model in self._own:
            return Priced(model, quotes_of_day(f"openai/{model or '-'}", self._own[model], self._day, tier))
        for name in self._candidates(model, wire):
            try:
                quotes = quotes_of_day(name, None, self._day, tier)
            except UserError:
                continue
            if all(quote.source != "local" for _, quote in quotes):
                return Priced(name, quotes)
        return Priced("", ())

    def _candidates(self, model: str, wire: Wire | None) -> list[str]:
        """Full names to try: the teacher whose short name it is, the name as it stands, then with the likely provider."""
        short = model.removeprefix("models/").rpartition("/")[2] or model
        found = [name for name in self._teachers if name.endswith((f"/{model}", f"/{short}"))]
        if "/" in model:
            found.append(model)
        found += [name for name in (likely(short, []),) if name is not None]
        found += [f"{prefix}/{short}" for prefix in _OF_WIRE[wire]]
        if "/" in model:
            found.append(f"openrouter/{model}")
        return list(dict.fromkeys(found)) if model else []


def read_price(text: str) -> tuple[str, Price]:
    """`NAME=INPUT,OUTPUT[,CACHED]` in dollars per million tokens. Raises UserError."""
    name, mark, numbers = text.rpartition("=")
    try:
        values = [float(number) for number in numbers.split(",")]
        if not mark or not 2 <= len(values) <= 3 or not all(0 <= value < math.inf for value in values):
            raise ValueError(text)
    except ValueError:
        raise UserError(
            f"--price {text}: expected MODEL=INPUT,OUTPUT in dollars per million tokens, and what cached input costs as a third "
            "where it differs, such as --price gpt-4o=2.5,10,1.25."
        ) from None
    return name, Price(input=values[0], output=values[1], cached_input=values[2] if len(values) == 3 else None)
