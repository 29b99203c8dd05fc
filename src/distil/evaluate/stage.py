"""`distil evaluate`: student, base and teacher on the held-out prompts, with error bars and a verdict on shipping.

Reads work/curate/test.jsonl and work/train/NAME/model, writes work/evaluate/NAME/{predictions.jsonl, scores.jsonl, summary.json}.
Answers that exist already (the base's, from another student; the student's, when only a metric changed) are reused.
"""

from __future__ import annotations

from collections.abc import Mapping

from distil.calls.config import TeacherConfig
from distil.errors import UserError, did_you_mean
from distil.evaluate import aggregate, judge, remote, stats
from distil.evaluate.config import EvaluateConfig
from distil.evaluate.metrics import METRICS, chosen
from distil.evaluate.predictions import Predictions, gather
from distil.evaluate.scoring import Scored, primary_metric, score_all
from distil.evaluate.similarity import long_share, shuffled
from distil.evaluate.verdict import Goals, decide
from distil.models.config import StudentConfig
from distil.records import Example, Score
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, write_json, write_records
from distil.runs.manifest import StageRun, stage_run
from distil.runs.schemas.interval import Interval
from distil.runs.schemas.judge import JudgeSummary
from distil.runs.schemas.summary import MetricInfo, Summary

RESERVED = ("teacher", "ceiling", "base")


def run(
    project: Project, section: EvaluateConfig, *, name: str, teachers: list[TeacherConfig], student: StudentConfig
) -> Summary:
    """Evaluates one student and returns what summary.json holds.

    Raises UserError when the student or the test prompts are not there, or a model can't be loaded or asked.
    """
    _check_name(project, name)
    if section.judge is not None:
        remote.check(project.ledger, section.judge)
    with stage_run(project, "evaluate", section.model_dump(mode="json"), name=name) as stage:
        examples = _test_examples(project, stage, section.limit)
        stage.reads(project.model(name))
        metrics = chosen(section.metrics)
        predictions = gather(project, section, examples, name=name, teachers=teachers, student=student)
        scored = score_all(examples, predictions.by_model, metrics)
        judged, judge_scores = _judge(project, section, examples, name, predictions)
        summary = _summarize(section, examples, name, student, predictions, scored, judged)
        _write(stage, predictions, [*scored.scores, *judge_scores], summary)
        stage.usd = summary.usd
        stage.seeds["evaluate"] = section.seed
        keys = dict(predictions.keys)
        stage.notes |= {"teacher_key": keys.pop("teacher", None), "prediction_keys": keys}
        stage.notes["verdict"] = f"{summary.verdict.decision}: {summary.verdict.sentence}"
    return summary


def _check_name(project: Project, name: str) -> None:
    if name in RESERVED:
        raise UserError(
            f"{name!r} is reserved for the evaluation, as are all of {', '.join(RESERVED)}. Train under another name with --as."
        )
    if project.model(name).is_dir():
        return
    students = project.students()
    have = f" Trained students: {', '.join(students)}.{did_you_mean(name, students)}" if students else ""
    raise UserError(
        f"There is no trained student {name!r} ({project.model(name)} is missing).{have} "
        f"Train it: `distil train --as {name}`."
    )


def _test_examples(project: Project, stage: StageRun, limit: int | None) -> list[Example]:
    path = project.split("test")
    if not path.exists():
        raise UserError(
            f"{path} is missing, so there is nothing to evaluate on. Run `distil curate` (curate.test sets how many prompts)."
        )
    examples = list(read_examples(stage.reads(path)))[:limit]
    if not examples:
        raise UserError(f"{path} has no test prompts. Set curate.test to 200 or more and run `distil curate`.")
    return examples


def _judge(
    project: Project, section: EvaluateConfig, examples: list[Example], name: str, predictions: Predictions
) -> tuple[JudgeSummary | None, list[Score]]:
    """The judgement, if a judge is configured, and its scores; its cost and gaps go into `predictions`."""
    if section.judge is None:
        return None, []
    student = {prediction.prompt_id: prediction for prediction in predictions.by_model[name]}
    pairs = judge.pairs_of(examples, student)
    asked = remote.ask_all(
        project.ledger,
        [section.judge],
        judge.requests(pairs, section.judge),
        budget_usd=section.budget_usd,
        label="judge",
    )
    if asked.why_incomplete:
        predictions.notes.append(f"Judgements: {asked.why_incomplete}")
    predictions.usd += asked.usd
    return judge.settle(pairs, asked.replies, section.judge.model, student=name, confidence=section.confidence)


def _summarize(
    section: EvaluateConfig,
    examples: list[Example],
    name: str,
    student: StudentConfig,
    predictions: Predictions,
    scored: Scored,
    judged: JudgeSummary | None,
) -> Summary:
    groups = {example.prompt_id: example.group for example in examples}
    goals = Goals(section.goal_similarity, section.margin, section.least_retention, section.confidence)
    others = [model for model in ("teacher", "ceiling", "base") if model in scored.table]
    table, primary = scored.table, primary_metric(scored.table, name, examples)
    models = aggregate.intervals(table, groups, section.confidence)
    differences = aggregate.differences(table, name, others, groups, section.confidence)
    retention = aggregate.retentions(table, name, groups, section.confidence, section.seed)
    floor, normalized, long_texts = _anchors(section, examples, models, predictions, name)
    return Summary(
        name=name,
        base_model=student.model,
        teachers=sorted({example.teacher for example in examples if example.teacher}),
        test_prompts=len(examples),
        clusters=int(stats.clusters([example.group for example in examples], len(examples)).max()) + 1,
        confidence=section.confidence,
        primary=primary,
        metrics={
            metric: MetricInfo(label=info.label, against=info.against, better=info.better)
            for metric, info in METRICS.items()
            if any(metric in metrics for metrics in models.values())
        },
        models=models,
        fields=aggregate.intervals(scored.fields, groups, section.confidence),
        fields_against=scored.fields_against,
        floor=floor,
        normalised_similarity=normalized,
        long_texts=long_texts,
        differences=differences,
        retention=retention,
        verdict=decide(table, name, primary, groups, goals, differences=differences, retention=retention),
        goals={"goal_similarity": goals.similarity, "margin": goals.margin, "least_retention": goals.least_retention},
        slices=aggregate.slices(table, name, examples, groups, section.confidence),
        confidence_curve=aggregate.confidence_curve(table, name, primary, predictions.by_model[name]),
        worst=aggregate.worst(table, name, primary, examples, predictions.by_model[name]),
        judge=judged,
        size=predictions.size,
        speed=predictions.speed,
        usd=predictions.usd,
        notes=predictions.notes,
    )


def _anchors(
    section: EvaluateConfig,
    examples: list[Example],
    models: Mapping[str, Mapping[str, Interval]],
    predictions: Predictions,
    name: str,
) -> tuple[Interval | None, float | None, float | None]:
    """(floor, normalized similarity, share of long texts); all None when similarity was not measured."""
    similarity = models.get(name, {}).get("similarity")
    if similarity is None:
        return None, None, None
    values = shuffled([example.answer for example in examples], section.seed)
    floor = stats.interval_of(stats.mean_interval(values, confidence=section.confidence)) if len(values) else None
    if floor is not None and floor.mean >= section.goal_similarity:
        predictions.notes.append(
            f"Answers to different prompts already reach a similarity of {floor.mean:.3f} here, so the goal of "
            f"{section.goal_similarity:.2f} proves nothing; read the fields and exact answers instead."
        )
    ceiling = models.get("ceiling", {}).get("similarity")
    normalized = None
    if floor is not None and ceiling is not None and ceiling.mean > floor.mean:
        normalized = (similarity.mean - floor.mean) / (ceiling.mean - floor.mean)
    texts = [prediction.text for rows in predictions.by_model.values() for prediction in rows]
    return floor, normalized, long_share(texts)


def _write(stage: StageRun, predictions: Predictions, scores: list[Score], summary: Summary) -> None:
    project, name = stage.project, summary.name
    rows = [prediction for rows in predictions.by_model.values() for prediction in rows]
    stage.wrote(project.predictions(name), write_records(project.predictions(name), rows))
    stage.wrote(project.scores(name), write_records(project.scores(name), scores))
    write_json(project.summary(name), summary.model_dump(mode="json"))
    stage.wrote(project.summary(name))
