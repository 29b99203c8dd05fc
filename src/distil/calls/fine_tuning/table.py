"""The providers side by side for one project: what they tune, what the job and the serving would cost, and until when."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

from distil.calls.fine_tuning.offers import OFFERS, Offer
from distil.formats import find_format
from distil.progress import dollars


class Choice(NamedTuple):
    """One provider, in words for a person."""

    provider: str
    tunes: str
    trains: str
    price: str
    """Of a million tokens of training."""
    job: str
    """Of this project's training tokens; ? where that is not known before the data is there."""
    serving: str
    examples: str
    """Least and most, and the size of the file."""
    weights: str
    """Whether they can be downloaded."""
    closings: tuple[str, ...]
    """What is closed or is going to be, one clause each."""

    def cells(self) -> tuple[str, ...]:
        """For a table; the closings are too long for one."""
        return self[:-1]


COLUMNS = ("provider", "tunes", "trains", "$/M tokens", "this project", "serving", "examples, file", "weights")


def choices(training_tokens: int, parameters: int | None, today: date) -> list[Choice]:
    """training_tokens: of all epochs. parameters: of the student, where they are known."""
    return [_choice(offer, training_tokens, parameters, today) for offer in OFFERS.values()]


def _choice(offer: Offer, tokens: int, parameters: int | None, today: date) -> Choice:
    found = offer.training_price(offer.example, parameters) if not offer.estimates else None
    usd = sorted({price.usd for price in offer.prices})
    several = f"{dollars(usd[0])} to {dollars(usd[-1])}" if usd else "asked there" if offer.estimates else "by region"
    job = "?"
    if found is not None:
        job = f"about {dollars(found.usd * tokens / 1e6)}" + (f" ({offer.example})" if not offer.dedicated else "")
    elif usd:
        job = f"about {dollars(usd[0] * tokens / 1e6)} to {dollars(usd[-1] * tokens / 1e6)}"
    if not offer.dedicated:
        serving = "by the token"
    else:
        serving = "a deployment, " + (
            "by the hour" if offer.usd_per_hour is None else f"{dollars(offer.usd_per_hour)} an hour"
        )
    ended = [f"{c.what} {'since' if today >= date.fromisoformat(c.day) else 'from'} {c.day}" for c in offer.closings]
    limits = find_format(offer.name).limits
    least = f"{limits.min_rows:,}" + (f" to {limits.max_rows:,}" if limits.max_rows else " or more")
    size = min(filter(None, (limits.max_bytes, offer.max_upload)), default=None)
    return Choice(
        provider=offer.name,
        tunes=offer.tunes,
        trains=offer.trains,
        price=several,
        job=job,
        serving=serving,
        examples=least + (f", {size / 2**20:,.0f} MiB" if size else ""),
        weights="yours" if offer.keeps_weights else "stay there",
        closings=tuple(ended),
    )


def sources() -> list[str]:
    """Where the figures come from, a line each."""
    return [f"{offer.title}: {offer.price_source}; serving: {offer.hour_source}" for offer in OFFERS.values()]
