"""The `cost` section of distil.yaml. The arithmetic is in arithmetic.py."""

from __future__ import annotations

from pydantic import Field

from distil.runs.section import Section


class StudentHost(Section):
    """Where the student will run: a machine by the hour, or a provider by the token."""

    usd_per_hour: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Price of one machine that serves the student; idle hours count."""
    tokens_per_second: float | None = Field(default=None, gt=0)
    """Answer tokens per second of this machine; null = as measured by `distil evaluate`."""
    peak_to_mean: float = Field(default=3.0, ge=1)
    """Ratio of the busiest hour's traffic to the mean; machines are sized for the peak."""
    utilisation: float = Field(default=0.6, gt=0, le=1)
    """Load that a machine may have at the peak before answers become slow."""
    input: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """$ per million input tokens, when a provider hosts the student."""
    output: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """$ per million output tokens, when a provider hosts the student."""


class TeacherHost(Section):
    """The machines of a teacher that you run yourself."""

    usd_per_hour: float = Field(ge=0, allow_inf_nan=False)
    """Price of one machine; idle hours count."""
    machines: int = Field(default=1, ge=1)
    """How many serve it."""


class CostConfig(Section):
    """Your production traffic, to estimate a month's cost."""

    queries_per_month: int = Field(default=1_000_000, ge=1)
    """Production requests per month."""
    input_tokens: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Mean prompt tokens per request; null = as measured in the ledger."""
    output_tokens: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Mean answer tokens per request; null = as measured in the ledger."""
    month: str | None = Field(default=None, pattern=r"^\d{4}-(0[1-9]|1[0-2])$")
    """The month whose prices count, such as 2026-12; null = today's."""
    teacher_host: TeacherHost | None = None
    """Machines of a teacher that has no price per token, such as {usd_per_hour: 4.0, machines: 2}."""
    student_host: StudentHost | None = None
    """Where the student runs, such as {usd_per_hour: 0.60}; null = the student's cost is reported as unknown. With both a price
    per hour and prices per token, both ways are shown."""
    coverage: float | None = Field(default=None, ge=0, le=1)
    """Share of requests that the student answers; null = from `distil calibrate`, and 0.7 as a what-if."""
    deferred_cost_ratio: float = Field(default=1.0, ge=0)
    """Teacher cost of a request that falls back, relative to the mean; above 1 if hard prompts are longer."""
    audit_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the student's answers that are also sent to the teacher for monitoring."""
    retraining_usd: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """What keeping the student fresh costs each month: new answers, training."""
    training_usd: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """One-time cost outside the ledger: GPU hours, labeling, people."""
