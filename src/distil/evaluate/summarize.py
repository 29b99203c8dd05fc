"""From the answers and their scores to summary.json: intervals, differences, slices and the decision.

Not where answers come from (stage.py), and not the rules of the decision (verdict.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

from distil.evaluate import aggregate, evidence, stats, verdict
from distil.evaluate.aggregate import Groups
from distil.evaluate.config import EvaluateConfig
from distil.evaluate.labels import label_reports
from distil.evaluate.looks import corrected
from distil.evaluate.metrics import METRICS
from distil.evaluate.predictions import Predictions
from distil.evaluate.scoring import SHUFFLED, Scored, Table
from distil.evaluate.similarity import long_share
from distil.evaluate.slices import is_apart, slices
from distil.records import Example
from distil.runs.schemas.decision import Deciding, Looks
from distil.runs.schemas.interval import Interval
from distil.runs.schemas.judge import JudgeSummary
from distil.runs.schemas.summary import MetricInfo, Slice, Summary


class Measured(NamedTuple):
    """Everything that one evaluation measured."""

    name: str
    """The student."""
    base_model: str
    """What it was before."""
    examples: Sequence[Example]
    """All test prompts, also those set apart."""
    predictions: Predictions
    scored: Scored
    judge: JudgeSummary | None
    judged: Mapping[str, float]
    """The judge's values by prompt: 1 student, 0 teacher, 0.5 tie; empty without a judge."""
    looks: Looks


def summarize(measured: Measured, section: EvaluateConfig) -> Summary:
    """The content of summary.json."""
    name, confidence = measured.name, section.confidence
    counted = [e for e in measured.examples if not is_apart(e, section.set_apart)]
    groups = {example.prompt_id: example.group for example in measured.examples}
    table = _only(measured.scored.table, [example.prompt_id for example in counted])
    others = [model for model in ("teacher", "ceiling", "base") if model in table]
    models = aggregate.intervals(table, groups, confidence)
    differences = aggregate.differences(table, name, others, groups, confidence)
    retention = aggregate.retentions(table, name, groups, confidence)
    seen = corrected(measured.looks, section.students)
    goals = _goals(section, seen, later=corrected(measured.looks.one_more, section.students))
    case = build_case(measured, counted, table, groups, goals)
    case = case._replace(
        retention=retention.get(case.metric or ""),
        over_base=next((d for d in differences if d.metric == case.metric and d.versus == "base"), None),
    )
    primary = case.metric or "similarity"
    floor = models.get(SHUFFLED, {}).get("similarity")
    _note_floor(measured, floor, section.goal_similarity)
    fields = _only(measured.scored.fields, [example.prompt_id for example in counted])
    return Summary(
        name=name,
        base_model=measured.base_model,
        teachers=sorted({example.teacher for example in counted if example.teacher}),
        test_prompts=len(counted),
        set_apart=len(measured.examples) - len(counted),
        clusters=case.independent,
        confidence=confidence,
        primary=primary,
        metrics=_infos(models),
        models=models,
        fields=aggregate.intervals(fields, groups, confidence),
        fields_against=measured.scored.fields_against,
        labels=label_reports(counted, measured.predictions.by_model),
        floor=floor,
        normalised_similarity=_normalized(models, name, floor),
        long_texts=_long_texts(measured, models),
        differences=differences,
        retention=retention,
        verdict=verdict.decide(case, goals),
        deciding=case.deciding,
        guards=list(case.guards),
        looks=seen,
        goals={
            "goal_similarity": section.goal_similarity,
            "margin": goals.margin,
            "guard_margin": goals.guard_margin,
            "least_retention": goals.least_retention,
        },
        slices=_slices(measured, case.metric, groups, section),
        confidence_curve=aggregate.confidence_curve(table, name, primary, measured.predictions.by_model[name]),
        judge=measured.judge,
        size=measured.predictions.size,
        speed=measured.predictions.speed,
        usd_per_1000=measured.predictions.usd_per_1000,
        usd=measured.predictions.usd,
        notes=measured.predictions.notes,
        missing=measured.predictions.missing,
    )


def _goals(section: EvaluateConfig, seen: Looks, *, later: Looks) -> evidence.Goals:
    return evidence.Goals(
        section.margin,
        section.guard_margin,
        section.least_retention,
        section.confidence,
        seen.comparisons,
        planned=seen.share is not None,
        later=later.comparisons,
    )


def _infos(models: Mapping[str, Mapping[str, Interval]]) -> dict[str, MetricInfo]:
    """What every measured metric is."""
    return {
        metric: MetricInfo(label=info.label, against=info.against, better=info.better)
        for metric, info in METRICS.items()
        if any(metric in metrics for metrics in models.values())
    }


def _only(table: Table, ids: Sequence[str]) -> Table:
    """The same table without other prompts."""
    wanted = set(ids)
    return {
        model: {
            metric: kept
            for metric, values in metrics.items()
            if (kept := {i: value for i, value in values.items() if i in wanted})
        }
        for model, metrics in table.items()
    }


def build_case(
    measured: Measured, counted: Sequence[Example], table: Table, groups: Groups, goals: evidence.Goals
) -> verdict.Case:
    """What the rules look at, without the retention and the comparison with the base."""
    name, n = measured.name, len(counted)
    texts = _texts(counted)
    metric = evidence.deciding_metric(table, name, n, texts)
    prose = metric in (None, "similarity") and (texts.answer_words or 0) > evidence.SHORT_ANSWER
    prompts = {example.prompt_id for example in counted}
    judged = {i: value for i, value in measured.judged.items() if i in prompts}
    deciding: Deciding | None = None
    degenerate = None
    if prose and measured.judge is not None and measured.judge.usable and judged:
        metric = "judge"
        deciding = evidence.judge_test(measured.judge, judged, groups, goals, prompts=n)
    elif metric is not None:
        degenerate = evidence.degenerate(table, metric)
        deciding = evidence.deciding_test(table, name, metric, groups, goals, prompts=n)
    ids = [example.prompt_id for example in counted]
    return verdict.Case(
        student=name,
        prompts=n,
        independent=int(stats.clusters([example.group for example in counted], n).max()) + 1 if n else 0,
        metric=metric,
        prose=prose,
        degenerate=degenerate,
        deciding=deciding,
        guards=evidence.guard_tests(table, name, ids, groups, goals),
        retention=None,
        over_base=None,
        judge=measured.judge,
        needed=_needed(table, name, metric, judged, groups, _scaled(goals, measured.judge, metric)),
        recorded=all((example.teacher or "").startswith("recorded/") for example in counted),
    )


def _scaled(goals: evidence.Goals, judge: JudgeSummary | None, metric: str | None) -> evidence.Goals:
    """The goals on the scale of the deciding metric."""
    if metric != "judge" or judge is None:
        return goals
    return goals._replace(margin=evidence.judge_margin(judge, goals))


def _texts(examples: Sequence[Example]) -> evidence.Texts:
    references = [len(e.reference.split()) for e in examples if e.reference is not None]
    answers = [len(e.answer.split()) for e in examples]
    return evidence.Texts(median(references) if references else None, median(answers) if answers else None)


def _needed(
    table: Table,
    student: str,
    metric: str | None,
    judged: Mapping[str, float],
    groups: Groups,
    goals: evidence.Goals,
) -> int | None:
    """Prompts that would prove the margin at the observed loss; None where nothing was compared, or no number would do."""
    if metric == "judge":
        even, labels = [0.5] * len(judged), [groups[i] for i in judged]
        found: evidence.Pairs | None = evidence.Pairs(metric, "teacher", list(judged.values()), even, labels)
    else:
        found = evidence.pairs(table, student, metric, groups) if metric else None
    if found is None or len(found.student) < 2:
        return None
    return evidence.needed_for(found, goals.margin, goals)


def _note_floor(measured: Measured, floor: Interval | None, goal: float) -> None:
    if floor is not None and floor.mean >= goal:
        measured.predictions.notes.append(
            f"Answers to different prompts already reach a similarity of {floor.mean:.3f} here, so the article's goal of "
            f"{goal:.2f} proves nothing; read the fields and exact answers instead."
        )


def _normalized(models: Mapping[str, Mapping[str, Interval]], name: str, floor: Interval | None) -> float | None:
    """Where the student's similarity lies between unrelated answers (0) and the teacher with itself (1)."""
    student, ceiling = models.get(name, {}).get("similarity"), models.get("ceiling", {}).get("similarity")
    if student is None or floor is None or ceiling is None or ceiling.mean <= floor.mean:
        return None
    return (student.mean - floor.mean) / (ceiling.mean - floor.mean)


def _long_texts(measured: Measured, models: Mapping[str, Mapping[str, Interval]]) -> float | None:
    if "similarity" not in models.get(measured.name, {}):
        return None
    return long_share([prediction.text for rows in measured.predictions.by_model.values() for prediction in rows])


def _slices(measured: Measured, metric: str | None, groups: Groups, section: EvaluateConfig) -> list[Slice]:
    """Slices of the deciding metric; of the judge's values when the judge decides."""
    table, name = measured.scored.table, measured.name
    if metric == "judge":
        values, other = dict(measured.judged), dict.fromkeys(measured.judged, 0.5)
    elif metric is None:
        return []
    else:
        info = METRICS[metric]
        values = {i: evidence.upward(v, info) for i, v in table[name].get(metric, {}).items()}
        theirs = table.get(evidence.comparator(metric), {}).get(metric, {})
        other = {i: evidence.upward(v, info) for i, v in theirs.items()}
    return slices(
        values,
        other,
        measured.examples,
        groups,
        set_apart=section.set_apart,
        topics="similarity" in table.get(name, {}),
        confidence=section.confidence,
        seed=section.seed,
    )
