"""What `distil forecast` finds: the content of its --json."""

from __future__ import annotations

from typing import Literal

from distil.records import Record

Says = Literal["yes", "partly", "likely", "cannot tell", "no"]
"""likely: most answers are told from similar requests, but none surely enough to say how many a student would answer."""


class Between(Record):
    """A figure with its interval."""

    value: float
    low: float
    high: float


class ModelBill(Record):
    """One model's part of the bill."""

    model: str
    """As the log names it; empty: it names none."""
    requests: int
    estimated_requests: int
    """Of them, those whose tokens the log does not have: they are estimated from the texts."""
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    """The part of the input that came from the provider's cache, at its price."""
    usd: float | None
    """Of the log's requests; None: the price is unknown."""
    low_usd: float | None
    high_usd: float | None
    """How far the estimated part may be off; equal to usd where all tokens are known."""
    priced_as: str
    """The name under which the price is listed; empty: unknown."""
    source: str
    """Whose price it is."""


class SliceForecast(Record):
    """One kind of requests."""

    name: str
    how: str
    """What its requests share: system prompt | beginning of the question (either: `, with tools`) | meaning | no template |
    attachments | the rest."""
    requests: int
    """In the sample."""
    share: float
    """Of all requests."""
    month_usd: float | None
    """Of the teacher's month; None: a price is unknown."""
    input_tokens: float
    output_tokens: float
    """Means of one request."""
    answers: str
    """labels | JSON | short texts | prose | code | tool calls | images."""
    distinct: int
    """Different answers in the sample."""
    repeated: float
    """Share of requests that the sample holds more than once, word for word."""
    distillable: Says
    why: str
    answered: Between | None
    """Share of its requests that a student would answer at the quality that is asked for; None: cannot tell, or not tried."""
    quality: Between | None
    """Share of all its answers that would be as the teacher's; None: cannot tell."""
    ceiling: Between | None
    """How often the teacher agrees with itself on repeated requests; None: nothing was asked twice."""
    fields: dict[str, float]
    """Field of a JSON answer -> share that is predicted right."""
    gain: Between | None
    """Quality that twice the examples would add, by the learning curve; None: too few for one."""
    examples: int
    """Answers of this slice in the log, which are paid for already."""
    collect: int
    """Further answers to collect first."""


class Money(Record):
    """What it would save. Dollars a month."""

    requests_a_month: float
    month_source: str
    """Where that number comes from."""
    teacher_usd: Between | None
    """The month as it is; None: a price is unknown."""
    avoided_usd: Between | None
    """The teacher's part that the student takes over, audits taken off."""
    student_usd: float | None
    """What the student costs; None: nothing says where it runs."""
    saving_usd: Between | None
    one_time_usd: float | None
    """Answers to collect, and cost.training_usd."""
    payback: str
    break_even_queries: int | None
    """Requests a month from which it saves anything; None: at any number or at none, or unknown."""
    possible_usd: float | None
    """Of the teacher's month, the kinds of which it cannot be told how many a student would answer."""
    most_usd: float | None
    """What the student may cost a month at most, so that it saves anything."""


class Replay(Record):
    """The forecast."""

    logs: list[str]
    requests: int
    """Answered requests in the log."""
    unusable: int
    """Lines without an answer."""
    unusable_examples: list[str]
    repeated: float
    """Share of requests that had been asked before, word for word: a cache answers them."""
    sampled: int
    """Requests whose texts were looked at."""
    days: float | None
    """That the log covers; None: it does not say."""
    models: list[ModelBill]
    quality_target: float
    """Share of the student's answers that must be as the teacher's: 1 - serve.risk."""
    slices: list[SliceForecast]
    answered: Between
    """Share of all requests that a student would answer; what cannot be told counts as none."""
    cannot_tell: float
    """Share of requests of which it cannot be told how many a student would answer."""
    money: Money
    next: list[str]
    """Commands to type next."""
    assumptions: dict[str, str]
    warnings: list[str]
