"""`distil evaluate`: student, base and teacher on the held-out prompts, with error bars and a verdict on shipping.

Reads work/curate/test.jsonl and work/train/NAME/model (or answers from elsewhere), writes work/evaluate/NAME/{predictions.jsonl,
scores.jsonl, summary.json}. Answers that exist already (the base's, from another student; the student's, when only a metric
changed) are reused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import distil
from distil.calls.config import TeacherConfig
from distil.calls.fine_tuning.served import as_model, tuned
from distil.calls.ledger.store import Ledger
from distil.embeddings.embedder import use_cache
from distil.errors import UserError, WorkFailed, did_you_mean
from distil.evaluate import judge, likelihood, looks, remote
from distil.evaluate.config import EvaluateConfig
from distil.evaluate.examples import HeldOut, read_test_set
from distil.evaluate.examples import identity as identity_of_tests
from distil.evaluate.given import RESERVED, Elsewhere, Given, elsewhere, from_file
from distil.evaluate.likelihood import Likelihood
from distil.evaluate.looks import outdated
from distil.evaluate.metrics import chosen, own_files
from distil.evaluate.predictions import Predictions, gather, sampling_for
from distil.evaluate.scoring import score_all
from distil.evaluate.seen import refuse_trained
from distil.evaluate.summarize import Measured, summarize
from distil.ids import content_id
from distil.judging.asking import check
from distil.models.config import StudentConfig
from distil.records import Answer, Example, Score
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records, write_json, write_records
from distil.runs.manifest import StageRun, package_versions, read_manifest, stage_run, stage_state
from distil.runs.schemas.judge import JudgeSummary
from distil.runs.schemas.notes import EvaluateNotes, TrainSettings
from distil.runs.schemas.summary import Summary, read_summary


class Planned(NamedTuple):
    """What a plan of looks says of one of them."""

    share: float
    """Of the error of the test set."""
    judge_usd: float | None
    """The cap for the judge, in place of evaluate.budget_usd."""


def run(
    project: Project,
    section: EvaluateConfig,
    *,
    name: str,
    teachers: list[TeacherConfig],
    student: StudentConfig,
    answers: Elsewhere | None = None,
    coming: Sequence[str] = (),
    planned: Planned | None = None,
) -> Summary:
    """Evaluates one student and returns what summary.json holds.

    answers: where its answers come from when it was not trained here; None = what an earlier evaluation of this name used, else
    the trained model. coming: names of the students that the same command evaluates after it: the verdict counts them. planned:
    it is one of the looks of a plan. Raises UserError when the student or the test prompts are not there, or a model can't be
    loaded or asked.
    """
    answers = source_of(project, name, answers)
    if section.judge is not None:
        check(project.ledger, section.judge)
    use_cache(project.cache)
    with stage_run(project, "evaluate", section.model_dump(mode="json"), name=name) as stage:
        known_here = answers is None or project.provider_job(name).exists()
        tests = read_test_set(project, trained=known_here, reads=stage.reads)
        notes = refuse_trained(project, name, tests.examples) if known_here else []
        examples = tests.examples[: section.limit]
        test_set = looks.remember(project, identity_of_tests(examples), [e.prompt_id for e in examples])
        metrics = _metrics(project, section, stage)
        given = _given(project, section, stage, tests, answers, name=name, teachers=teachers) if answers else None
        identity = given.identity if given else stage.hash_of(stage.reads(project.model(name)))
        predictions = gather(
            project, section, examples, name=name, teachers=teachers, student=student, given=_limited(given, examples)
        )
        predictions.notes[:0] = [*tests.notes, *notes]
        _price_teacher(project, examples, predictions)
        scored = score_all(
            examples, predictions.by_model, metrics, section.seed, _likelihoods(predictions, examples, metrics)
        )
        share, judge_usd = planned or (None, section.budget_usd)
        judged, judge_scores = _judge(project, section, examples, name, predictions, judge_usd)
        seen = looks.looks(project, test_set, now=identity, coming=coming, share=share)
        measured = Measured(
            name=name,
            base_model=student.model,
            examples=examples,
            predictions=predictions,
            scored=scored,
            judge=judged,
            judged={score.prompt_id: score.value for score in judge_scores if score.metric == "judge"},
            looks=seen,
        )
        summary = summarize(measured, section)
        _write(stage, predictions, [*scored.scores, *judge_scores], summary)
        conditions = _conditions(teachers, student, answers)
        _note(stage, summary, predictions, test_set, conditions, answers, planned=planned is not None)
        _note_look(project, name, test_set, identity, seen.share if share is None else share)
    return summary


def _metrics(project: Project, section: EvaluateConfig, stage: StageRun) -> list[str]:
    """The metrics that are asked for; the files of own ones are inputs."""
    for path in own_files(section.metrics, project.root):
        stage.reads(path)
    return list(chosen(section.metrics, project.root))


def _note_look(project: Project, name: str, test_set: str, identity: str, share: float | None) -> None:
    """share: looked at again, a student keeps what a plan gave to it. A baseline, which learned references, does not count."""
    candidate = TrainSettings.of(read_manifest(project, "train", name)).target != "reference"
    looks.note(project, name=name, test_set=test_set, student=identity, candidate=candidate, share=share)


def unchanged(
    project: Project,
    section: EvaluateConfig,
    *,
    name: str,
    teachers: list[TeacherConfig],
    student: StudentConfig,
    answers: Elsewhere | None = None,
    coming: Sequence[str] = (),
) -> Summary | None:
    """The summary of an earlier evaluation when doing it again would give the same; None when something has changed."""
    manifest = read_manifest(project, "evaluate", name)
    answers = source_of(project, name, answers)
    notes = EvaluateNotes.of(manifest)
    if manifest is None or not notes.complete or notes.conditions != _conditions(teachers, student, answers):
        return None
    if manifest.tool_version != distil.__version__ or manifest.packages != package_versions():
        return None
    if (
        outdated(project, name, coming)
        or stage_state(project, "evaluate", name, section.model_dump(mode="json"))[0] != "done"
    ):
        return None
    return read_summary(project.summary(name))


def source_of(project: Project, name: str, answers: Elsewhere | None) -> Elsewhere | None:
    """Where the student's answers come from: `answers`, the trained model (None), or what its last evaluation used.

    Raises UserError on a name that is taken or unknown.
    """
    if name in RESERVED:
        raise UserError(
            f"{name!r} is reserved for the evaluation, as are all of {', '.join(RESERVED)}. Choose another name with --as."
        )
    trained = project.model(name).is_dir()
    serving = None if trained else tuned(project.provider_job(name), name)
    if answers is not None:
        if trained or (serving is not None and serving.model != answers.model):
            raise UserError(
                f"{name!r} is a student that was trained here, and its evaluation would be overwritten. "
                f"Choose another name: --answers {answers.reference} --as {name}-2."
            )
        return answers
    if trained:
        return None
    if serving is not None:
        return elsewhere(serving.model, project)
    earlier = EvaluateNotes.of(read_manifest(project, "evaluate", name)).answers
    if earlier is not None:
        return elsewhere(earlier, project)
    students = list(dict.fromkeys([*project.students(), *project.evaluated()]))
    have = f" Students: {', '.join(students)}.{did_you_mean(name, students)}" if students else ""
    raise UserError(
        f"There is no trained student {name!r} ({project.model(name)} is missing).{have} "
        f"Train it: `distil train --as {name}`. Answers that exist already: `distil evaluate --answers FILE --as {name}`."
    )


def _likelihoods(
    predictions: Predictions, examples: list[Example], metrics: Sequence[str]
) -> dict[str, dict[str, Likelihood]]:
    """What the local models' logits say about the teacher's answers, where a metric asks for it."""
    if not likelihood.METRICS & set(metrics):
        return {}
    found = likelihood.measure(predictions.sources, predictions.local_teacher, examples, kl="kl" in metrics)
    predictions.notes += found.notes
    return found.models


def _given(
    project: Project,
    section: EvaluateConfig,
    stage: StageRun,
    tests: HeldOut,
    answers: Elsewhere,
    *,
    name: str,
    teachers: list[TeacherConfig],
) -> Given:
    """The answers of a student that was not trained here. A file is matched to all test prompts, whatever evaluate.limit says."""
    if answers.path is not None:
        return from_file(answers._replace(path=stage.reads(answers.path)), tests.examples, name)
    assert answers.model is not None
    serving = tuned(project.provider_job(name), name)
    served = [as_model(serving)] if serving is not None else []
    model = remote.settings_of(answers.model, [*section.candidates, *served, *teachers])
    sampling = sampling_for(remote.teacher_of(teachers).sampling, section.sampling)
    examples = tests.examples[: section.limit]
    try:
        return remote.student_answers(
            project.ledger, model, examples, sampling, name=name, budget_usd=section.budget_usd
        )
    except WorkFailed as error:
        if serving is None or not serving.deploy:
            raise
        raise WorkFailed(f"{error} Is it deployed? {serving.deploy}") from None


def _limited(given: Given | None, examples: list[Example]) -> Given | None:
    """The answers to the prompts that are evaluated. Raises UserError when none is left."""
    if given is None:
        return None
    asked = {example.prompt_id for example in examples}
    predictions = [prediction for prediction in given.predictions if prediction.prompt_id in asked]
    if not predictions:
        raise UserError(
            f"None of the answers belongs to the first {len(examples):,} test prompts (evaluate.limit). Take the limit away."
        )
    return given._replace(predictions=predictions)


def _conditions(teachers: list[TeacherConfig], student: StudentConfig, answers: Elsewhere | None) -> str:
    """Hash of what an evaluation depends on outside of its section and its files."""
    asked = [[teacher.model, teacher.sampling.model_dump(mode="json")] for teacher in teachers]
    source = answers.reference if answers else [student.model, student.dtype]
    return content_id("conditions", [asked, source])


def _note(
    stage: StageRun,
    summary: Summary,
    predictions: Predictions,
    test_set: str,
    conditions: str,
    answers: Elsewhere | None,
    *,
    planned: bool,
) -> None:
    stage.usd = summary.usd
    stage.notes["verdict"] = f"{summary.verdict.decision}: {summary.verdict.sentence}"
    noted = EvaluateNotes(
        answers=answers.reference if answers else None,
        conditions=conditions,
        complete=predictions.complete,
        test_set=test_set,
        students_looked_at=summary.looks.corrected_for,
        planned=planned,
    )
    stage.notes |= noted.model_dump(mode="json")


def _price_teacher(project: Project, examples: list[Example], predictions: Predictions) -> None:
    """What the teacher's answers to the test prompts cost, from the ledger."""
    wanted = {example.answer_id for example in examples}
    if not project.answers.exists() or not project.ledger.exists():
        return
    calls = {a.call_id for a in read_records(project.answers, Answer) if a.id in wanted}
    with Ledger(project.ledger) as ledger:
        price = remote.usd_per_1000(call.usd for call in ledger.calls() if call.id in calls)
    if price is not None:
        predictions.usd_per_1000["teacher"] = price


def _judge(
    project: Project,
    section: EvaluateConfig,
    examples: list[Example],
    name: str,
    predictions: Predictions,
    budget_usd: float | None,
) -> tuple[JudgeSummary | None, list[Score]]:
    """The judgment, if a judge is configured, and its scores; its cost and gaps go into `predictions`."""
    if section.judge is None:
        return None, []
    student = {prediction.prompt_id: prediction for prediction in predictions.by_model[name]}
    pairs = judge.pairs_of(examples, student)
    judged = judge.run(
        project.ledger,
        judge.Settings.of(
            section.judge,
            mode=section.judge_mode,
            rubric=section.judge_rubric,
            repeats=section.judge_repeats,
            confidence=section.confidence,
        ),
        pairs,
        student=name,
        budget_usd=budget_usd,
        preferences=judge.preferences(project),
    )
    predictions.lacks(*judged.notes, final=judged.complete)
    predictions.usd += judged.summary.usd
    return judged.summary, judged.scores


def _write(stage: StageRun, predictions: Predictions, scores: list[Score], summary: Summary) -> None:
    project, name = stage.project, summary.name
    rows = [prediction for rows in predictions.by_model.values() for prediction in rows]
    stage.wrote(project.predictions(name), write_records(project.predictions(name), rows))
    stage.wrote(project.scores(name), write_records(project.scores(name), scores))
    write_json(project.summary(name), summary.model_dump(mode="json"))
    stage.wrote(project.summary(name))
