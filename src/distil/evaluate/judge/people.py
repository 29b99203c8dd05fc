"""The judge beside people who judged some of the same pairs: how often they agree, and the win rate corrected by them.

Prediction-powered inference (Angelopoulos et al. 2023): the judge's mean over all N pairs plus the mean of (person - judge) over
the n pairs that a person judged, with variance s2_judge / N + s2_difference / n. It holds where the n pairs are a random part of
the N, such as the first ones that `distil view predictions` shows: not where only suspicious answers were looked at.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from distil.evaluate import stats
from distil.evaluate.stats import Estimate
from distil.ids import content_id
from distil.judging.prompt import Pair
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records
from distil.runs.schemas.judge import PeopleSummary, Preference

MIN_MARKED = 20
"""Marked pairs below which no correction is made."""
VALUES: Mapping[str, float] = {"student": 1.0, "teacher": 0.0, "tie": 0.5}


class Beside(NamedTuple):
    """One pair that both judged."""

    person: float
    """1 = the student, 0 = the teacher, 0.5 = a tie."""
    judge: float
    group: str | None


def pair_id(prompt_id: str, student: str, teacher: str) -> str:
    """Identifies two answers by their texts: a mark does not carry over to a student that answers something else."""
    return content_id("pair", [prompt_id, student, teacher])


def preferences(project: Project) -> list[Preference]:
    """What people said so far; empty where they said nothing."""
    return list(read_records(project.people, Preference)) if project.people.exists() else []


def marked(
    pairs: Sequence[Pair], values: Mapping[str, float], preferences: Sequence[Preference]
) -> list[tuple[str, Beside]]:
    """(prompt id, both judgments) of the pairs that a person judged and the judge has a value for (by prompt id)."""
    said = {preference.pair_id: preference for preference in preferences}
    found = []
    for pair in pairs:
        prompt_id = pair.example.prompt_id
        preference = said.get(pair_id(prompt_id, pair.student, pair.teacher))
        if preference is not None and prompt_id in values:
            person = VALUES[preference.preferred]
            found.append((prompt_id, Beside(person, values[prompt_id], pair.example.group)))
    return found


def summarize(
    pairs: Sequence[Pair],
    values: Mapping[str, float],
    preferences: Sequence[Preference],
    *,
    confidence: float = 0.95,
    correct: bool = True,
) -> PeopleSummary | None:
    """None where nobody marked a judged pair. correct: give the corrected win rate too (the values are win rates)."""
    found = [beside for _, beside in marked(pairs, values, preferences)]
    if not found:
        return None
    same = [float(_side(one.person) == _side(one.judge)) for one in found]
    agreement = stats.summarize(same, [one.group for one in found], confidence=confidence)
    corrected = None
    if correct and len(found) >= MIN_MARKED:
        corrected = prediction_powered(
            list(values.values()),
            [one.judge for one in found],
            [one.person for one in found],
            confidence=confidence,
        )
    return PeopleSummary(
        marked=len(found),
        agreement=stats.interval_of(agreement),
        corrected=stats.interval_of(corrected) if corrected else None,
    )


def prediction_powered(
    judged: Sequence[float], judge_on_marked: Sequence[float], people: Sequence[float], *, confidence: float = 0.95
) -> Estimate:
    """Mean over all judged + mean of (person - judge) on the marked ones; t quantile of the marked ones; kept inside [0, 1].

    The variance of the differences counts two more, +1 and -1 (as Agresti and Caffo add two successes and two failures): twenty
    agreements do not prove that there is never a disagreement.
    """
    every = np.asarray(judged, dtype=np.float64)
    rectifier = np.asarray(people, dtype=np.float64) - np.asarray(judge_on_marked, dtype=np.float64)
    n = len(rectifier)
    mean = float(every.mean() + rectifier.mean())
    spread = float(np.append(rectifier, (1.0, -1.0)).var(ddof=1))
    se = math.sqrt(float(every.var(ddof=1)) / len(every) + spread / n)
    half = stats.t_quantile(confidence, n - 1) * se
    low, high = max(0.0, mean - half), min(1.0, mean + half)
    return Estimate(min(max(mean, 0.0), 1.0), low, high, se, len(every))


def _side(value: float) -> int:
    return (value > 0.5) - (value < 0.5)
