"""The bill before and after: the content of work/cost/summary.json."""

from __future__ import annotations

from distil.records import Record


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
    teacher_usd: float
    """Teacher's month (fallbacks and audits)."""
    total_usd: float | None
    """Both."""
    saving_usd: float | None
    """Against teacher only."""
    payback_days: float | None
    """Until the one-time cost is earned back; None = never or unknown."""
    payback: str
    """The same for a person."""


class CostSummary(Record):
    """The content of work/cost/summary.json."""

    spent: dict[str, float]
    """Dollars by purpose, from the ledger."""
    one_time_usd: float
    """Spent on collecting, judging and evaluating, plus cost.training_usd; serving excluded."""
    teacher: str
    """The teacher whose bill is replaced."""
    price_input: float
    """$ per million input tokens."""
    price_output: float
    """$ per million output tokens."""
    price_source: str
    """Where the price comes from, and when."""
    traffic: Traffic
    """One request of production."""
    teacher_month_usd: float
    """A month with the teacher alone."""
    teacher_month_error_usd: float
    """Half width of its 95% interval, from the spread of tokens over the measured calls."""
    per_million_requests: dict[str, float | None]
    """$ per million requests: teacher, student."""
    options: list[Option]
    """A month with the student, in several ways."""
    break_even_coverage: float | None
    """Coverage from which the gateway is cheaper than the teacher alone."""
    warnings: list[str]
    """What is missing for a complete sum, and what to type."""
