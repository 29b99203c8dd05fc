"""`--dry-run`: what is still to be asked and what that will cost, from real token counts where the ledger has some.

Estimates, and says on how many answers they rest. Nothing is asked and no key is needed. Called by stage.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from distil.calls.config import TeacherConfig
from distil.calls.limits.estimate import FIRST_BYTES_PER_TOKEN, Estimator
from distil.calls.prices import price_of
from distil.calls.request import Tier
from distil.collect.ledger_view import LedgerView
from distil.collect.questions import Question
from distil.progress import dollars, track
from distil.records import Record, Usage

ENOUGH = 5
"""Answers from which on the measured means are used."""
Z95 = 1.96


class CollectForecast(Record):
    """What one teacher still has to be asked."""

    teacher: str
    """Its name in the config."""
    tier: str
    """standard | flex | batch."""
    wanted: int
    """Answers in all."""
    answered: int
    """Already in the ledger."""
    to_ask: int
    """Requests that would be sent."""
    in_batch: int
    """Of those, how many lie in a batch that is not finished: they are fetched and not asked again."""
    input_tokens: int
    """Expected, of those."""
    output_tokens: int
    """Expected, of those."""
    usd: float
    """Expected dollars of those."""
    usd_margin: float | None
    """Half of the 95% interval around it, from the spread of the measured answers; None where too few are measured."""
    most_usd: float
    """More it can't cost: every byte a token, every answer max_tokens long."""
    mean_input: float
    """Tokens of one request, expected or measured."""
    mean_output: float
    """Tokens of one answer, expected or measured."""
    basis: str
    """What the estimate rests on."""


class _Measured:
    """Bytes and tokens of what the ledger has, and of what is still to come."""

    def __init__(self) -> None:
        self.count = self.bytes = self.input = self.output = 0
        self.output_squares = 0.0
        self.open = self.open_bytes = self.in_batch = 0
        self.most_usd = 0.0

    def learn(self, size: int, usage: Usage) -> None:
        self.count += 1
        self.bytes += size
        self.input += usage.input_tokens
        self.output += usage.output_tokens
        self.output_squares += usage.output_tokens**2

    @property
    def enough(self) -> bool:
        return self.count >= ENOUGH and self.input > 0

    @property
    def output_deviation(self) -> float:
        mean = self.output / self.count
        return math.sqrt(max(self.output_squares / self.count - mean**2, 0.0) * self.count / max(self.count - 1, 1))


def forecast(teacher: TeacherConfig, tier: Tier, asks: Iterator[Question], book: LedgerView) -> CollectForecast:
    """Reads every ask of one teacher against the ledger. Raises UserError when the teacher's price is unknown."""
    quote, estimator, seen = price_of(teacher.model, teacher.price, tier), Estimator(), _Measured()
    wanted = 0
    for ask in track(asks, f"Reckoning {teacher.model}", None, "requests"):
        wanted += 1
        request = ask.request(tier)
        identity = book.identify(request)
        call, in_batch = book.state(identity.key) or (None, False)
        if call is not None and call.status == "answered":
            seen.learn(len(identity.body), call.usage)
            continue
        seen.open += 1
        seen.in_batch += in_batch
        seen.open_bytes += len(identity.body)
        most_input = estimator.most_input(request, len(identity.body))
        seen.most_usd += quote.most(most_input, request.sampling.max_tokens)
    input_tokens, output_tokens = _expected(seen, teacher)
    margin = None
    if seen.enough:
        spread = Z95 * seen.output_deviation * math.sqrt(seen.open * (1 + seen.open / seen.count))
        margin = spread * quote.output / 1e6
    return CollectForecast(
        teacher=teacher.model,
        tier=tier,
        wanted=wanted,
        answered=seen.count,
        to_ask=seen.open,
        in_batch=seen.in_batch,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        usd=quote.cost(Usage(input_tokens=input_tokens, output_tokens=output_tokens)),
        usd_margin=margin,
        most_usd=seen.most_usd,
        mean_input=seen.input / seen.count if seen.enough else input_tokens / max(seen.open, 1),
        mean_output=seen.output / seen.count if seen.enough else output_tokens / max(seen.open, 1),
        basis=_basis(seen),
    )


def forecasts(
    teachers: Sequence[TeacherConfig], tiers: Sequence[Tier], asks: Callable[[], Iterator[Question]], book: LedgerView
) -> list[CollectForecast]:
    """One a teacher, in order. asks: makes the asks of all of them anew for each. Raises UserError for an unknown price."""
    return [
        forecast(teacher, tier, (ask for ask in asks() if ask.teacher is teacher), book)
        for teacher, tier in zip(teachers, tiers, strict=True)
    ]


def _expected(seen: _Measured, teacher: TeacherConfig) -> tuple[int, int]:
    if seen.enough:
        return round(seen.open_bytes * seen.input / seen.bytes), round(seen.open * seen.output / seen.count)
    return round(seen.open_bytes / FIRST_BYTES_PER_TOKEN), seen.open * teacher.sampling.max_tokens // 2


def _basis(seen: _Measured) -> str:
    if seen.enough:
        return f"measured on {seen.count:,} answers"
    return (
        "a guess: 4 bytes a token, answers half of max_tokens; `distil collect --limit 20` first makes it a measurement"
    )


def rows(forecasts: Sequence[CollectForecast]) -> list[tuple[str, str]]:
    """(name, value) pairs for a table."""
    found = []
    for one in forecasts:
        margin = f" ± {dollars(one.usd_margin)}" if one.usd_margin else ""
        waiting = f"; {one.in_batch:,} of them lie in a batch already" if one.in_batch else ""
        found += [
            (one.teacher, f"{one.to_ask:,} of {one.wanted:,} to ask ({one.tier}{waiting})"),
            ("  tokens", f"{one.input_tokens:,} in, {one.output_tokens:,} out ({one.basis})"),
            ("  cost", f"about {dollars(one.usd)}{margin}, at most {dollars(one.most_usd)}"),
        ]
    return found
