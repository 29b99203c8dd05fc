"""SHIP, SHIP WITH FALLBACK or DO NOT SHIP: the rules, each with its number, in one place.

SHIP needs proof: the lower end of the similarity reaches the goal, and the student is shown to be less than `margin` worse than
the teacher on the metric that decides. DO NOT SHIP needs a plain failure: too few prompts to say anything, no better than the
base model, surely below the goal, or surely below `least_retention` of the teacher. Between the two, a fallback for unsure
answers closes the gap. Pure functions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from distil.evaluate import stats
from distil.evaluate.aggregate import Groups, intervals, paired
from distil.evaluate.metrics import METRICS
from distil.evaluate.scoring import Table
from distil.runs.schemas.interval import Interval
from distil.runs.schemas.summary import Difference, ShipDecision

MIN_PROMPTS = 30
"""Below this no interval is worth a decision."""
ADVISED_PROMPTS = 200
"""The article's test set."""


class Goals(NamedTuple):
    """What was declared before looking."""

    similarity: float
    margin: float
    least_retention: float
    confidence: float = 0.95


class Reason(NamedTuple):
    """One rule's outcome: +1 speaks for SHIP, 0 against SHIP, -1 for DO NOT SHIP."""

    vote: int
    text: str


def decide(
    table: Table,
    student: str,
    primary: str,
    groups: Groups,
    goals: Goals,
    *,
    differences: list[Difference],
    retention: Mapping[str, Interval],
) -> ShipDecision:
    """The decision from the values, their differences and the retention. `table[student]` must have the primary metric."""
    n = len(table[student][primary])
    findings = [
        *_enough(n),
        *_retained(primary, retention, goals),
        *_not_inferior(table, student, primary, groups, goals),
        *_similar(table, student, groups, goals),
        *_better_than_base(primary, differences),
    ]
    failures, gaps, good = ([finding.text for finding in findings if finding.vote == vote] for vote in (-1, 0, 1))
    if failures:
        decision, why = "DO NOT SHIP", failures[0]
    elif gaps:
        decision, why = "SHIP WITH FALLBACK", gaps[0]
    else:
        decision, why = "SHIP", " and ".join(good[:2]) or "nothing speaks against it"
    few = f" ({ADVISED_PROMPTS} or more are advised)" if n < ADVISED_PROMPTS else ""
    return ShipDecision(
        decision=decision,
        sentence=f"{why}, on {n} test prompts{few}.",
        n=n,
        reasons=failures + gaps + good,
        needed_prompts=_needed(table, student, primary, groups, goals),
    )


def _enough(n: int) -> list[Reason]:
    if n >= MIN_PROMPTS:
        return []
    return [Reason(-1, f"{n} test prompts are too few to decide anything ({MIN_PROMPTS} at least)")]


def _better_than_base(primary: str, differences: list[Difference]) -> list[Reason]:
    row = next((d for d in differences if d.versus == "base" and d.metric == primary), None)
    if row is None or row.difference.low is None:
        return []
    measured = f"{row.difference.mean:+.3f} {METRICS[primary].label} {_range(row.difference)}"
    vote, claim = (1, "better") if row.difference.low > 0 else (-1, "no better")
    return [Reason(vote, f"{claim} than the base model before distillation: {measured}")]


def _similar(table: Table, student: str, groups: Groups, goals: Goals) -> list[Reason]:
    measured_models = [model for model in (student, "ceiling") if "similarity" in table.get(model, {})]
    values: Table = {model: {"similarity": table[model]["similarity"]} for model in measured_models}
    similarity = {model: row["similarity"] for model, row in intervals(values, groups, goals.confidence).items()}
    if student not in similarity:
        return []
    goal, note = goals.similarity, ""
    if "ceiling" in similarity and similarity["ceiling"].mean < goal:
        goal = similarity["ceiling"].mean
        note = f", lowered from {goals.similarity:.2f} because the teacher reaches only that with itself"
    reached = similarity[student]
    measured = f"similarity {reached.mean:.3f} {_range(reached)}"
    if reached.high is not None and reached.high < goal:
        return [Reason(-1, f"{measured} is below the goal of {goal:.2f}{note}")]
    if reached.low is not None and reached.low >= goal:
        return [Reason(1, f"{measured} reaches the goal of {goal:.2f}{note}")]
    return [Reason(0, f"{measured} is not surely at the goal of {goal:.2f}{note}")]


def _not_inferior(table: Table, student: str, primary: str, groups: Groups, goals: Goals) -> list[Reason]:
    other = "ceiling" if METRICS[primary].against == "teacher" else "teacher"
    if primary == "similarity" or primary not in table.get(other, {}):
        return []
    a, b, labels = paired(table[student][primary], table[other][primary], groups)
    result = stats.non_inferiority(a, b, goals.margin, labels, confidence=goals.confidence)
    means = f"{_percent(sum(a) / len(a))} against the teacher's {_percent(sum(b) / len(b))}"
    measured = f"{METRICS[primary].label} {means}"
    if result.passed:
        return [Reason(1, f"{measured}, proven less than {_points(goals.margin)} worse")]
    worst_case = "unknown" if math.isnan(result.shortfall.high) else f"{100 * result.shortfall.high:.1f}"
    gap = f"it may be up to {worst_case} points worse, where {_points(goals.margin)} are allowed"
    return [Reason(0, f"{measured}; {gap}")]


def _retained(primary: str, retention: Mapping[str, Interval], goals: Goals) -> list[Reason]:
    ratio = retention.get(primary)
    if ratio is None or ratio.high is None or ratio.high >= goals.least_retention:
        return []
    measured = f"keeps {_percent(ratio.mean)} of the teacher's {METRICS[primary].label} {_range(ratio, percent=True)}"
    return [Reason(-1, f"{measured}, surely less than the least of {_percent(goals.least_retention)}")]


def _needed(table: Table, student: str, primary: str, groups: Groups, goals: Goals) -> int | None:
    other = "ceiling" if METRICS[primary].against == "teacher" else "teacher"
    if primary not in table.get(other, {}):
        return None
    a, b, _ = paired(table[student][primary], table[other][primary], groups)
    if len(a) < 2:
        return None
    mean = sum(x - y for x, y in zip(a, b, strict=True)) / len(a)
    variance = sum((x - y - mean) ** 2 for x, y in zip(a, b, strict=True)) / (len(a) - 1)
    return stats.needed_prompts(variance**0.5, goals.margin, confidence=goals.confidence)


def _range(interval: Interval, *, percent: bool = False) -> str:
    if interval.low is None or interval.high is None:
        return "(no interval)"
    if percent:
        return f"({_percent(interval.low)} to {_percent(interval.high)})"
    return f"({interval.low:.3f} to {interval.high:.3f})"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}%"


def _points(value: float) -> str:
    return f"{100 * value:g} points"
