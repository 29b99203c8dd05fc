"""Stage `collect`: asks the teachers for every prompt and writes answers.jsonl, a view of the ledger that can always be rebuilt.

Resume is a set difference: what the ledger holds costs nothing. Test prompts are asked too, because evaluate needs the teacher's
answers; a second sample of the teacher is evaluate's task. The run itself is run.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from distil.calls.config import TeacherConfig
from distil.collect import rounds as in_rounds
from distil.collect.config import CollectConfig
from distil.collect.questions import check_teachers
from distil.collect.result import CollectResult
from distil.collect.run import CollectRun
from distil.errors import UserError
from distil.progress import say
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records
from distil.runs.manifest import StageRun, stage_run, stage_state
from distil.runs.schemas.failures import Failure

FREE_TO_CHANGE = ("budget_usd", "batch", "tier", "flex_full", "hedge")
"""Settings for how answers are bought, not which ones: changing them makes nothing stale."""


def run(
    project: Project,
    section: CollectConfig,
    teachers: Sequence[TeacherConfig],
    *,
    only: Literal["failed"] | frozenset[str] | None = None,
    limit: int | None = None,
    dry_run: bool = False,
    rebuild: bool = False,
    rounds: str | None = None,
) -> CollectResult:
    """Asks for what the ledger does not hold. only: just the last failures, or answers by id, wherever they stand (`limit` then
    says for how many prompts); limit: just the first prompts; rounds: the command that chose `only` as one of its rounds.

    dry_run: sends nothing and forecasts the cost; rebuild: makes answers.jsonl from the ledger, sends nothing. Raises UserError,
    BudgetReached (3), Interrupted (130) or WorkFailed; whatever was answered is in the ledger and in answers.jsonl.
    """
    check_teachers(teachers)
    if not project.prompts.exists():
        raise UserError(
            f"{project.prompts} does not exist. Load the prompts first: `distil prompts load`, or `distil run`."
        )
    ids = _failed_ids(project) if only == "failed" else only
    collection = CollectRun(project, section, teachers, ids, limit if ids is None or only == "failed" else None)
    for line in collection.terms:
        say(line)
    if dry_run:
        return collection.forecast()
    settings = settings_of(section, teachers)
    if limit is not None:
        settings["limit"] = limit  # so that the stage does not count as done
    with stage_run(project, "collect", settings) as stage:
        stage.reads(project.prompts)
        if rounds is not None:
            in_rounds.begin(project, rounds, settings)
        elif ids is None and limit is None and not rebuild:
            in_rounds.forget(project)
        result = collection.rebuild() if rebuild else collection.collect()
        _note(stage, project, result)
    return result


def recorded(project: Project, section: CollectConfig, teachers: Sequence[TeacherConfig]) -> bool:
    """Whether the manifest says what is there now, however much of all that is."""
    return stage_state(project, "collect", None, settings_of(section, teachers))[0] == "done"


def settings_of(section: CollectConfig, teachers: Sequence[TeacherConfig]) -> dict[str, object]:
    """The settings in the manifest, which decide whether the stage is stale: the teachers and their sampling are among them."""
    settings: dict[str, object] = section.model_dump(mode="json", exclude=set(FREE_TO_CHANGE))
    settings["teachers"] = [teacher.model_dump(mode="json", include={"model", "sampling"}) for teacher in teachers]
    return settings


def _failed_ids(project: Project) -> frozenset[str]:
    if not project.failures.exists():
        raise UserError(
            "There is no list of failures yet: run `distil collect` first, then `distil collect --only failed`."
        )
    ids = frozenset(failure.answer_id for failure in read_records(project.failures, Failure))
    if not ids:
        raise UserError(
            "No request has failed: work/collect/failures.jsonl is empty. Run `distil collect` without --only."
        )
    return ids


def _note(stage: StageRun, project: Project, result: CollectResult) -> None:
    stage.wrote(project.answers, result.answers)
    stage.wrote(project.failures, result.failed)
    stage.usd = result.usd_total
    stage.notes.update(
        answers=result.answers,
        failed=result.failed,
        wanted=result.wanted,
        paid_now=result.new,
        usd_now=round(result.usd, 8),
        uncertain={"requests": result.uncertain_requests, "usd": round(result.uncertain_usd, 8)},
        terms=list(result.terms),
    )
