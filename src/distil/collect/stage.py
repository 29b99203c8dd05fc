"""Stage `collect`: asks the teachers for every prompt and writes answers.jsonl, a view of the ledger that can always be rebuilt.

Resume is a set difference: what the ledger holds costs nothing. Test prompts are asked too (evaluate needs the teacher's
answers); a second sample of the teacher is evaluate's business. The work itself is work.py. Called by `distil collect` and
the pipeline.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from distil.calls.config import TeacherConfig
from distil.collect.config import CollectConfig
from distil.collect.questions import Failure, check_teachers
from distil.collect.result import CollectResult
from distil.collect.run import CollectRun, say
from distil.collect.terms import terms_of_all
from distil.errors import UserError
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records
from distil.runs.manifest import StageRun, stage_run

POLL_S = 5.0
FREE_TO_CHANGE = ("budget_usd", "batch", "tier", "flex_full")
"""Settings that say how answers are bought, not which: changing them makes nothing stale."""


def run(
    project: Project,
    section: CollectConfig,
    teachers: Sequence[TeacherConfig],
    *,
    only: Literal["failed"] | None = None,
    limit: int | None = None,
    dry_run: bool = False,
    rebuild: bool = False,
    poll_s: float = POLL_S,
) -> CollectResult:
    """Asks for what the ledger does not hold. only: just the last failures; limit: just the first prompts.

    dry_run: asks nothing and forecasts the cost; rebuild: makes answers.jsonl from the ledger, asks nothing; poll_s: first pause
    between looks at a batch. Raises UserError, BudgetReached (3), Interrupted (130) or WorkFailed; whatever was answered is kept
    in the ledger and stands in answers.jsonl.
    """
    check_teachers(teachers)
    if not project.prompts.exists():
        raise UserError(
            f"{project.prompts} is not there. Load the prompts first: `distil prompts load`, or `distil run`."
        )
    terms = terms_of_all(teacher.model for teacher in teachers)
    for line in terms:
        say(line)
    work = CollectRun(project, section, teachers, _failed_ids(project) if only == "failed" else None, limit)
    if dry_run:
        return work.forecast(terms)
    settings = settings_of(section, teachers)
    if limit is not None:
        settings["limit"] = limit  # so that the stage does not count as done
    with stage_run(project, "collect", settings) as stage:
        stage.reads(project.prompts)
        result = work.rebuild(terms) if rebuild else work.collect(poll_s, terms)
        _note(stage, project, result)
    return result


def settings_of(section: CollectConfig, teachers: Sequence[TeacherConfig]) -> dict[str, Any]:
    """What the manifest keeps and what decides whether the stage is stale: the teachers with their sampling belong to it."""
    settings = section.model_dump(mode="json", exclude=set(FREE_TO_CHANGE))
    settings["teachers"] = [teacher.model_dump(mode="json", include={"model", "sampling"}) for teacher in teachers]
    return settings


def _failed_ids(project: Project) -> frozenset[str]:
    if not project.failures.exists():
        raise UserError(
            "There is no list of failures yet: run `distil collect` first, then `distil collect --only failed`."
        )
    found = frozenset(failure.answer_id for failure in read_records(project.failures, Failure))
    if not found:
        raise UserError(
            "No request has failed: work/collect/failures.jsonl is empty. Run `distil collect` without --only."
        )
    return found


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
