"""`--dry-run`: what is still to ask and what that will cost, from measured token counts where the ledger has some.

Estimates, with the number of answers behind them. Sends nothing and needs no API key.
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

MIN_MEASURED = 5
"""Answers that the measured means need."""
Z95 = 1.96


class CollectForecast(Record):
    """What is still to ask one teacher, and its cost."""

    teacher: str
    """Its name in the config."""
    tier: Tier
    """standard | flex | batch."""
    wanted: int
    """Answers, with those that are there already."""
    answered: int
    """Already in the ledger."""
    to_ask: int
    """Requests that would be sent."""
    in_batch: int
    """How many of those are in an unfinished batch: they are fetched and not sent again."""
    input_tokens: int
    """Expected for `to_ask`."""
    output_tokens: int
    """Expected for `to_ask`."""
    usd: float
    """Expected cost of `to_ask`."""
    usd_margin: float | None
    """Half of the 95% interval around `usd`, from the spread of the measured answers; None where too few are measured."""
    most_usd: float
    """Upper bound of the cost: every byte a token, every answer max_tokens long."""
    mean_input: float
    """Tokens of one request, expected or measured."""
    mean_output: float
    """Tokens of one answer, expected or measured."""
    basis: str
    """What the estimate is based on, for a person."""


class _Counts:
    """Bytes and tokens of what the ledger has, and of what is still to ask."""

    def __init__(self) -> None:
        self.count = self.bytes = self.input = self.output = 0
        self.output_squares = 0.0
        self.open = self.open_bytes = self.in_batch = 0
        self.most_usd = 0.0

    def add(self, size: int, usage: Usage) -> None:
        self.count += 1
        self.bytes += size
        self.input += usage.input_tokens
        self.output += usage.output_tokens
        self.output_squares += usage.output_tokens**2

    @property
    def enough(self) -> bool:
        return self.count >= MIN_MEASURED and self.input > 0

    @property
    def output_deviation(self) -> float:
        mean = self.output / self.count
        return math.sqrt(max(self.output_squares / self.count - mean**2, 0.0) * self.count / max(self.count - 1, 1))


def forecast(
    teacher: TeacherConfig, tier: Tier, questions: Iterator[Question], view: LedgerView, *, shown: bool = True
) -> CollectForecast:
    """Compares every question of one teacher with the ledger. Raises UserError when its price is unknown. shown: with a bar."""
    quote, estimator, counts = price_of(teacher.model, teacher.price, tier), Estimator(), _Counts()
    wanted = 0
    for question in track(questions, f"Estimating {teacher.model}", None, "requests") if shown else questions:
        wanted += 1
        request = question.request(tier)
        identity = view.identify(request)
        call, in_batch = view.state(identity.key)
        if call is not None and call.status == "answered":
            counts.add(len(identity.body), call.usage)
            continue
        counts.open += 1
        counts.in_batch += in_batch
        counts.open_bytes += len(identity.body)
        max_input = estimator.max_input(request, len(identity.body))
        counts.most_usd += quote.max_cost(max_input, request.sampling.max_tokens)
    input_tokens, output_tokens = _expected(counts, teacher)
    margin = None
    if counts.enough:
        spread = Z95 * counts.output_deviation * math.sqrt(counts.open * (1 + counts.open / counts.count))
        margin = spread * quote.output / 1e6
    return CollectForecast(
        teacher=teacher.model,
        tier=tier,
        wanted=wanted,
        answered=counts.count,
        to_ask=counts.open,
        in_batch=counts.in_batch,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        usd=quote.cost(Usage(input_tokens=input_tokens, output_tokens=output_tokens)),
        usd_margin=margin,
        most_usd=counts.most_usd,
        mean_input=counts.input / counts.count if counts.enough else input_tokens / max(counts.open, 1),
        mean_output=counts.output / counts.count if counts.enough else output_tokens / max(counts.open, 1),
        basis=_basis(counts),
    )


def forecasts(
    teachers: Sequence[TeacherConfig],
    tiers: Sequence[Tier],
    questions: Callable[[], Iterator[Question]],
    view: LedgerView,
    *,
    shown: bool = True,
) -> list[CollectForecast]:
    """One per teacher. questions: starts a new pass over the questions of all teachers; shown: with a progress bar.

    Raises UserError for an unknown price.
    """
    return [
        forecast(
            teacher, tier, (question for question in questions() if question.teacher is teacher), view, shown=shown
        )
        for teacher, tier in zip(teachers, tiers, strict=True)
    ]


def _expected(counts: _Counts, teacher: TeacherConfig) -> tuple[int, int]:
    if counts.enough:
        input_tokens = counts.open_bytes * counts.input / counts.bytes
        return round(input_tokens), round(counts.open * counts.output / counts.count)
    return round(counts.open_bytes / FIRST_BYTES_PER_TOKEN), counts.open * teacher.sampling.max_tokens // 2


def _basis(counts: _Counts) -> str:
    if counts.enough:
        return f"measured on {counts.count:,} answers"
    return "a guess: 4 bytes per token, answers half of max_tokens; run `distil collect --limit 20` first to measure it"


def rows(forecasts: Sequence[CollectForecast]) -> list[tuple[str, str]]:
    """(name, value) pairs for a table."""
    table = []
    for part in forecasts:
        margin = f" ± {dollars(part.usd_margin)}" if part.usd_margin else ""
        in_batch = f"; {part.in_batch:,} of them are in a batch already" if part.in_batch else ""
        table += [
            (part.teacher, f"{part.to_ask:,} of {part.wanted:,} to ask ({part.tier}{in_batch})"),
            ("  tokens", f"{part.input_tokens:,} in, {part.output_tokens:,} out ({part.basis})"),
            ("  cost", f"about {dollars(part.usd)}{margin}, at most {dollars(part.most_usd)}"),
        ]
    return table
