"""What `distil plan` returns."""

from __future__ import annotations

from typing import NamedTuple

from distil.calls.fine_tuning.table import Choice


class Change(NamedTuple):
    """A change of distil.yaml that the plan advises."""

    settings: tuple[str, ...]
    """KEY=VALUE, as --set and `distil config set` take them."""
    why: str


class TierPrice(NamedTuple):
    """Collecting the answers at one tier."""

    tier: str
    """live | flex | batch."""
    usd: float
    """Total, with what is already spent."""
    low_usd: float | None
    """Lower end of the 95% interval; None before five answers are measured."""
    high_usd: float
    """Its upper end; before that, the most that it can be."""


class Cell(NamedTuple):
    """One way to train on one machine."""

    fits: bool
    gib: float
    """Of one process, with the largest batch that fits (or the smallest, if none does)."""
    batch_tokens: int | None
    """Of the largest forward pass that fits."""
    checkpointing: bool
    """Whether it fits only with train.gradient_checkpointing."""
    hours: float | None
    """None = the speed of this card is not known."""
    usd: float | None
    """At the card's list price; None = not known, or your own machine."""


class Place(NamedTuple):
    """A machine and what could be trained on it."""

    machine: str
    full: Cell
    """All weights; on several GPUs split over them (FSDP)."""
    lora: Cell
    """An adapter; on several GPUs one copy on each."""
    qlora: Cell | None
    """An adapter on 4-bit weights; None = not on a CPU."""


class Forecast(NamedTuple):
    """The result of `distil plan`."""

    method: str
    """api | logits."""
    reasons: list[str]
    """Why."""
    prompts: int
    teacher_calls: int
    collect_usd: float | None
    """At the configured tier, including what is already spent. None = the price is unknown."""
    spent_usd: float
    """What was spent on collecting so far."""
    tiers: list[TierPrice]
    """The same at each tier that the teachers have."""
    training_tokens: int
    training_hours: float | None
    """None = the student's size or the GPU's speed is unknown."""
    memory_gib: float | None
    """Of one process."""
    memory_parts: dict[str, float]
    """GiB by what it is for."""
    student_parameters: int | None
    size_source: str
    """Where the student's size comes from: config.json | the name."""
    machine: str
    places: list[Place]
    """Machines side by side; empty where the student's size is unknown."""
    examples: str
    """How many to aim at, and the evidence."""
    month_before_usd: float | None
    month_low_usd: float | None
    """Lower end of the 95% interval of month_before_usd; None = not measured."""
    month_high_usd: float | None
    month_after_usd: float | None
    payback: str
    advice: list[str]
    """What will not fit or is missing."""
    changes: list[Change]
    """What `--apply` writes."""
    terms: list[str]
    """One line per vendor on training on its outputs."""
    providers: list[Choice]
    """Who else could train the student: `distil train --provider`."""
