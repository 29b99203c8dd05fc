"""The `cost` section of distil.yaml. Only a config: the sums are in arithmetic.py."""

from __future__ import annotations

from pydantic import Field

from distil.runs.section import Section


class StudentHost(Section):
    """Where the student will run: a machine by the hour, or a provider by the token."""

    usd_per_hour: float | None = Field(default=None, ge=0)
    """Price of one machine that serves the student; idle hours are paid too."""
    tokens_per_second: float | None = Field(default=None, gt=0)
    """Answer tokens that this machine makes per second; null = as measured by `distil evaluate`."""
    peak_to_mean: float = Field(default=3.0, ge=1)
    """Traffic of the busiest hour over the average hour; machines are bought for the peak."""
    utilisation: float = Field(default=0.6, gt=0, le=1)
    """How full a machine may be at the peak before answers become slow."""
    input: float | None = Field(default=None, ge=0)
    """$ per million input tokens, when a provider hosts the student."""
    output: float | None = Field(default=None, ge=0)
    """$ per million output tokens, when a provider hosts the student."""


class CostConfig(Section):
    """What production looks like, so that a month can be priced."""

    queries_per_month: int = Field(default=1_000_000, ge=1)
    """Requests that production answers in a month."""
    input_tokens: float | None = Field(default=None, ge=0)
    """Mean prompt tokens a request; null = as measured in the ledger."""
    output_tokens: float | None = Field(default=None, ge=0)
    """Mean answer tokens a request; null = as measured in the ledger."""
    student_host: StudentHost | None = None
    """Where the student runs, such as {usd_per_hour: 0.60}; null = the student's own cost is left open and said so."""
    coverage: float | None = Field(default=None, ge=0, le=1)
    """Share of requests that the student answers itself; null = from `distil calibrate`, and 0.7 as a what-if."""
    deferred_cost_ratio: float = Field(default=1.0, ge=0)
    """Teacher cost of a request that falls back over that of an average one; above 1 when hard prompts are longer."""
    audit_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the student's answers that the teacher answers too, to keep watch."""
    training_usd: float = Field(default=0.0, ge=0)
    """One-time cost that the ledger can't see: GPU hours, labeling, people."""
