"""From values to findings: intervals, paired differences, retention and the curve of confidence.

Pure functions over the table of scoring.py; nothing is read or written. Slices are in slices.py, the decision is in verdict.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from distil.evaluate import stats
from distil.evaluate.metrics import METRICS
from distil.evaluate.scoring import SHUFFLED, Table
from distil.records import Prediction
from distil.runs.schemas.interval import Difference, Interval
from distil.runs.schemas.summary import CoveragePoint

Groups = Mapping[str, str | None]
"""prompt id -> group."""


def intervals(table: Table, groups: Groups, confidence: float) -> dict[str, dict[str, Interval]]:
    """model -> metric -> interval over the prompts where the metric applies."""
    return {
        model: {name: interval(values, groups, confidence) for name, values in metrics.items()}
        for model, metrics in table.items()
    }


def interval(values: Mapping[str, float], groups: Groups, confidence: float) -> Interval:
    """The mean of values by prompt."""
    return stats.interval_of(stats.summarize(list(values.values()), [groups[i] for i in values], confidence=confidence))


def paired(
    left: Mapping[str, float], right: Mapping[str, float], groups: Groups
) -> tuple[list[float], list[float], list[str | None]]:
    """The values of two models on the prompts that both have, in one order, and the groups of those prompts."""
    both = [prompt for prompt in left if prompt in right]
    return [left[p] for p in both], [right[p] for p in both], [groups[p] for p in both]


def differences(
    table: Table, student: str, others: Sequence[str], groups: Groups, confidence: float
) -> list[Difference]:
    """Student minus each other model on every metric that both have; p values corrected (Holm) within each other model."""
    corrected: list[Difference] = []
    for other in others:
        rows = [
            _difference(name, other, values, table[other][name], groups, confidence)
            for name, values in table.get(student, {}).items()
            if name in table.get(other, {}) and any(prompt in table[other][name] for prompt in values)
        ]
        adjusted = stats.holm({row.metric: row.p for row in rows if row.p is not None})
        corrected += [row.model_copy(update={"p_holm": adjusted.get(row.metric)}) for row in rows]
    return corrected


def _difference(
    name: str, other: str, left: Mapping[str, float], right: Mapping[str, float], groups: Groups, confidence: float
) -> Difference:
    a, b, labels = paired(left, right, groups)
    result = stats.paired_difference(a, b, labels, confidence=confidence)
    p: float | None = None if math.isnan(result.p) else result.p
    only_a = only_b = None
    if set(a) | set(b) <= {0.0, 1.0}:
        only_a, only_b, _ = stats.mcnemar(a, b)  # counts for people; the p value belongs to the interval
    return Difference(
        metric=name,
        versus=other,
        difference=stats.interval_of(result.estimate),
        p=p,
        p_holm=None,
        only_student=only_a,
        only_other=only_b,
    )


def retentions(table: Table, student: str, groups: Groups, confidence: float) -> dict[str, Interval]:
    """Metric -> mean of the student over that of the teacher (or of the ceiling, for metrics against the teacher).

    Similarity is counted from its floor, because unrelated answers of one task are similar too.
    """
    ratios: dict[str, Interval] = {}
    for name, values in table.get(student, {}).items():
        other = "ceiling" if METRICS[name].against == "teacher" else "teacher"
        if METRICS[name].better != "higher" or name not in table.get(other, {}):
            continue
        a, b, labels = paired(values, table[other][name], groups)
        if name == "similarity":
            unrelated = table.get(SHUFFLED, {}).get(name, {})
            floor = sum(unrelated.values()) / len(unrelated) if unrelated else 0.0
            a, b = [value - floor for value in a], [value - floor for value in b]
        ratio = stats.retention(a, b, labels, confidence=confidence)
        if ratio is not None:
            ratios[name] = stats.interval_of(ratio)
    return ratios


def confidence_curve(
    table: Table, student: str, primary: str, predictions: Sequence[Prediction], points: int = 20
) -> list[CoveragePoint]:
    """The deciding metric by the share of prompts that the student answers itself, the surest first."""
    values, teacher = table.get(student, {}).get(primary, {}), table.get("teacher", {}).get(primary, {})
    usable = [p for p in predictions if p.token_logprobs and p.prompt_id in values]
    if len(usable) < points:
        return []
    usable.sort(key=lambda p: (-sum(p.token_logprobs) / len(p.token_logprobs), p.prompt_id))
    ordered = [p.prompt_id for p in usable]
    has_teacher = all(prompt in teacher for prompt in ordered)
    curve = []
    for step in range(1, points + 1):
        cut = step * len(ordered) // points
        served = sum(values[prompt] for prompt in ordered[:cut])
        together = (served + sum(teacher[p] for p in ordered[cut:])) / len(ordered) if has_teacher else None
        curve.append(CoveragePoint(coverage=cut / len(ordered), served=served / cut, together=together))
    return curve
