"""The bill before and after: the content of work/cost/summary.json."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from distil.records import Record
from distil.runs.jsonl import read_document


class Traffic(Record):
    """What one request of production looks like."""

    queries_per_month: int
    """From the config."""
    input_tokens: float
    """Mean prompt tokens."""
    output_tokens: float
    """Mean answer tokens."""
    measured_calls: int
    """Ledger calls behind the means; 0 = both are given in the config."""
    unknown_calls: int = 0
    """Further calls whose tokens are not known; they are not in any figure."""
    student_input_tokens: float | None = None
    """Mean prompt tokens for the student; None: as for the teacher."""
    student_output_tokens: float | None = None
    """Mean answer tokens that the student writes: the teacher's without its reasoning."""
    counted_by: str = ""
    """How the student's tokens were counted; empty: as the teacher's are."""


class Option(Record):
    """One way to serve production, priced for a month."""

    name: str
    """teacher only, or the student's name with its coverage."""
    coverage: float
    """Share of requests that the student answers."""
    coverage_source: str
    """calibrated | config | what-if | all."""
    student_usd: float | None
    """Student's month; None = no host price is known."""
    teacher_usd: float | None
    """Teacher's month (fallbacks and audits); None = its price is unknown."""
    total_usd: float | None
    """Both."""
    saving_usd: float | None
    """Against teacher only."""
    payback_days: float | None
    """Until the one-time cost is earned back; None = never or unknown."""
    payback: str
    """The same for a person."""
    payback_date: str | None = None
    """The day on which it is earned back, if it starts today (ISO)."""
    saving_low_usd: float | None = None
    """95% interval of the saving, over which requests were measured."""
    saving_high_usd: float | None = None
    """Its upper end."""
    routing: str = ""
    """tried first: the student answers everything, and the teacher what the student is unsure of; routed before: each request
    goes to one of them. Empty for one model alone."""
    host: str = ""
    """Where the student runs: own machine | provider | deployment."""
    not_allowed: str = ""
    """Why this way must not be taken, such as the verdict DO NOT SHIP; no saving is named then."""


class PriceChange(Record):
    """A change of the teacher's price that the price table knows of."""

    date: str
    """From when on (ISO)."""
    price_input: float
    """$ per million input tokens."""
    price_output: float
    """$ per million output tokens."""
    teacher_month_usd: float
    """A month from then on."""


class Share(Record):
    """A month in which the student answers a share of the requests."""

    share: float
    """From 0 to 1."""
    tried_first_usd: float
    """Each request is tried on the student."""
    routed_before_usd: float
    """Requests are divided before either answers."""


class Swing(Record):
    """What the saving becomes when one assumption is wrong."""

    factor: str
    """Which, and from what to what."""
    low_usd: float
    """Saving at the end that is worse for the student."""
    high_usd: float
    """At the other end."""


class Latency(Record):
    """Seconds from a request to its answer."""

    way: str
    """Who answers."""
    p50_s: float
    p95_s: float


class CostSummary(Record):
    """The content of work/cost/summary.json."""

    spent: dict[str, float]
    """Dollars by purpose, from the ledger."""
    one_time_usd: float
    """Spent on collecting, judging and evaluating, plus cost.training_usd; serving excluded."""
    teacher: str
    """The teacher whose bill is replaced."""
    price_input: float | None
    """$ per million input tokens; None = unknown. For a price that depends on the hour, its mean over the day."""
    price_output: float | None
    """$ per million output tokens."""
    price_source: str
    """Where the price comes from, and when."""
    traffic: Traffic
    """One request of production."""
    teacher_month_usd: float | None
    """A month with the teacher alone; None = its price is unknown."""
    teacher_month_error_usd: float
    """Half width of its 95% interval; 0 without a spread."""
    per_million_requests: dict[str, float | None]
    """$ per million requests: teacher, student."""
    options: list[Option]
    """A month with the student, in several ways."""
    break_even_coverage: float | None
    """Coverage from which the gateway is cheaper than the teacher alone."""
    teacher_month_low_usd: float | None = None
    """95% interval of the teacher's month, over which requests were measured; None without a spread."""
    teacher_month_high_usd: float | None = None
    """Its upper end."""
    cheapest_hour_usd: float | None = None
    """The teacher's month if all requests came in the cheapest hour; None where the price does not depend on the hour."""
    dearest_hour_usd: float | None = None
    """The same in the dearest hour."""
    price_changes: list[PriceChange] = Field(default_factory=list)
    """Of the next twelve months, as the price table knows them."""
    break_even_queries: int | None = None
    """Requests a month from which the student (with the shown coverage) is cheaper than the teacher alone; None = none, or
    its price is by the token and so has no fixed part."""
    shares: list[Share] = Field(default_factory=list)
    """The bill over the share that the student answers."""
    tornado: list[Swing] = Field(default_factory=list)
    """The saving when assumptions change, the largest swing first."""
    tornado_usd: float | None = None
    """The saving that these start from; None where the teacher's or the student's price is unknown."""
    latency: list[Latency] = Field(default_factory=list)
    """Of teacher, student and both, where they were measured."""
    assumptions: dict[str, str] = Field(default_factory=dict)
    """What the figures rest on, in words."""
    warnings: list[str]
    """What is missing for a complete sum, and what to type."""


def alone(student: str) -> str:
    """The name of the option that has a student answer everything, wherever it runs."""
    return f"{student} alone"


def read_cost(path: Path) -> CostSummary | None:
    """The bill of `distil cost`; None where it was not made. Raises UserError when it can't be read."""
    return read_document(path, CostSummary, command="distil cost") if path.exists() else None
