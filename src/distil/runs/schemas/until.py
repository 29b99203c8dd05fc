"""The files of `distil until`: what was planned before the first look, a line for each finished round, and how it ended."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from distil.records import Record
from distil.runs.jsonl import read_document, read_records
from distil.runs.schemas.decision import Decision
from distil.runs.schemas.interval import Interval

Outcome = Literal["proven", "out of reach", "not proven", "undecidable"]
Target = Literal["SHIP", "SHIP WITH FALLBACK"]


class UntilPlan(Record):
    """The content of plan.json. Rounds and shares of the error are set before the first look, and stay."""

    id: int = 0
    """Plans that were made in this project before."""
    target: Target
    """The least verdict that counts."""
    budget_usd: float
    """Dollars for all that `distil until` ever pays in this project."""
    before_usd: float
    """Dollars that had been paid when it first began here."""
    student: str
    """Name of the student that each round trains from its base."""
    settings: str
    """Hash of the settings: others are another plan."""
    number: int = 0
    """Plans that looked at these test prompts before, or at others of which half are among these."""
    test_set: str | None = None
    """Hash of the test prompts; None before they are drawn."""
    looked_at: dict[str, int] = Field(default_factory=dict)
    """Plans that have looked at test prompts, this one included, by the hash of these."""
    sizes: tuple[int, ...] = ()
    """Prompts that are asked by the end of each round; empty before the first answers say what one costs."""
    shares: tuple[float, ...] = ()
    """Share of each round's look, of what the error is after students that are looked at without a plan."""


class UntilRound(Record):
    """A finished round: a line of rounds.jsonl."""

    plan: int
    """Id of its plan."""
    number: int
    """From 1."""
    asked: int
    """Prompts that were to be asked by its end."""
    rows: int
    """Training rows."""
    independent: int
    """Independent test prompts."""
    usd: float
    """Dollars spent by its end, of all rounds."""
    usd_per_prompt: float
    """What a further prompt costs, as known at its end."""
    seconds: float
    """From its first step, after an interruption from the last start."""
    share: float
    """Of the error, for this look; of a student that was looked at before, what it had then."""
    corrected_for: int = 1
    """What the error is divided by beside that: the plan, and each student that was looked at without one."""
    name: str | None = None
    """Of the deciding metric, for people; None where nothing decides."""
    student: Interval | None = None
    """The student's mean of it."""
    other: Interval | None = None
    """That of what it is compared with."""
    shortfall: Interval | None = None
    """How much worse the student is, with the interval that decides."""
    margin: float
    """How much worse it may be."""
    bar: float | None = None
    """The largest shortfall that this look would have proven, of a student that is nowhere better; None = not known, or none."""
    improved: bool
    """It is shown to be better than its base; true where the base is not measured."""
    decision: Decision
    """As `distil evaluate` shows it."""
    sentence: str
    """Its reason."""
    last: bool
    """No further round was planned, or could be paid."""
    next_steps: tuple[str, ...] = ()
    """What the verdict advises."""


class UntilSummary(Record):
    """The content of summary.json."""

    plan: UntilPlan
    """As it was in the end."""
    rounds: list[UntilRound]
    """Of this plan."""
    outcome: Outcome
    """proven; out of reach for the budget; not proven with it; undecidable: something is missing that no answers replace."""
    sentence: str
    """With the numbers."""
    usd: float
    """Dollars spent altogether."""
    enough_usd: float | None
    """Dollars altogether with which it would be expected; None = not known, or no amount of answers would do."""
    next_steps: list[str]
    """What to type."""


def read_plan(path: Path) -> UntilPlan | None:
    """None where there is none."""
    return read_document(path, UntilPlan, command="distil until SHIP") if path.exists() else None


def read_until_summary(path: Path) -> UntilSummary | None:
    """None where there is none."""
    return read_document(path, UntilSummary, command="distil until SHIP") if path.exists() else None


def read_rounds(path: Path) -> list[UntilRound]:
    """Those of all plans, in order."""
    return list(read_records(path, UntilRound)) if path.exists() else []
