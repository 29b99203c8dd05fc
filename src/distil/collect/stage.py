"""Stage `collect`: asks the teachers for every prompt and writes answers.jsonl, a view of the ledger that can always be rebuilt.

Resume is a set difference: what the ledger holds costs nothing. Test prompts are asked too (evaluate needs the teacher's
answers); a second sample of the teacher is evaluate's business. Called by `distil collect` and the pipeline.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from distil.calls.catalog import open_keyless, parse_model
from distil.calls.client import Client
from distil.calls.config import TeacherConfig
from distil.calls.ledger import Ledger
from distil.calls.request import Tier
from distil.collect.asking import Asking
from distil.collect.asks import Ask, Failure, check_teachers, plan_asks, tier_of
from distil.collect.book import Book
from distil.collect.buying import Buyer
from distil.collect.config import CollectConfig
from distil.collect.display import Display
from distil.collect.forecast import forecast
from distil.collect.rebuild import carry_over, from_ledger
from distil.collect.result import CollectResult, reasons
from distil.collect.spool import Spool
from distil.collect.terms import terms_of_all
from distil.errors import DistilError, Interrupted, UserError, WorkFailed
from distil.progress import bar, track
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records
from distil.runs.manifest import StageRun, stage_run

POLL_S = 5.0
FREE_TO_CHANGE = ("budget_usd", "batch", "tier")
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
        _say(line)
    work = _Work(project, section, teachers, _failed_ids(project) if only == "failed" else None, limit)
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


class _Work:
    """One call of `run`, unpacked."""

    def __init__(
        self,
        project: Project,
        section: CollectConfig,
        teachers: Sequence[TeacherConfig],
        only: frozenset[str] | None,
        limit: int | None,
    ) -> None:
        self._project = project
        self._teachers = list(teachers)
        self._samples = section.samples
        self._budget_usd = section.budget_usd
        self._only = only
        self._limit = limit
        self._tiers: list[Tier] = [tier_of(teacher, section.service) for teacher in teachers]
        self._stopped: DistilError | None = None
        self._new = 0
        self._usd = 0.0

    def collect(self, poll_s: float, terms: list[str]) -> CollectResult:
        """Asks, writes the files also when the asking is stopped, and then raises what stopped it."""
        self._tell_what_is_left_out()
        total = self._count()
        if total == 0:
            raise UserError(
                "There is nothing to ask: no prompt is left. Check `distil prompts load`, or drop --only and --limit."
            )
        with Spool(self._project.answers) as answers, Spool(self._project.failures) as failures:
            with Ledger(self._project.ledger) as ledger:
                before = ledger.uncertain("collect")
                if before.requests:
                    _say(f"From earlier runs: {before}.")
                try:
                    asyncio.run(self._ask(ledger, answers, failures, total, poll_s))
                except KeyboardInterrupt:
                    self._stopped = Interrupted(
                        "Stopped. Every answer that came is kept; the same command goes on from here."
                    )
                except DistilError as error:
                    self._stopped = error
                self._complete(ledger, answers, failures, total)
            result = self._result(answers, failures, terms)
        if self._stopped is not None:
            if result.answers:
                kept = f"{result.answers:,} of {result.wanted:,} answers are in work/collect/answers.jsonl."
                self._stopped.args = (f"{self._stopped} {kept}",)
            raise self._stopped
        if result.answers == 0:
            why = result.reasons[0].why if result.reasons else "no teacher answered"
            raise WorkFailed(f"None of {result.wanted:,} requests was answered: {why}")
        return result

    async def _ask(self, ledger: Ledger, answers: Spool, failures: Spool, total: int, poll_s: float) -> None:
        buyer = Buyer(self._project, ledger, self._teachers, self._budget_usd, poll_s)
        try:
            await buyer.resume()
            for number, tier in enumerate(self._tiers):
                if tier == "batch":
                    await buyer.buy((ask, 0) for ask in self._source(number))
            async with Client(ledger, self._teachers, self._budget_usd, root=self._project.root) as client:
                with bar("Asking", total, "answers") as running:
                    display = Display(running, total)
                    asking = Asking(client, buyer, answers, failures, display, insist=self._only is not None)
                    try:
                        await asking.run(self._tiers, self._source)
                    finally:
                        self._new, self._usd = client.stats.answered, client.stats.usd
        finally:
            self._new, self._usd = self._new + buyer.answered, self._usd + buyer.usd

    def _complete(self, ledger: Ledger, answers: Spool, failures: Spool, total: int) -> None:
        """What this run did not settle stays as it was; after a stop that is no Ctrl-C the ledger is read once more."""
        settled = answers.count + failures.count
        partial = self._only is not None or self._limit is not None
        if partial or settled < total:
            carry_over(self._plan(), answers, failures)
        if self._stopped is not None and not isinstance(self._stopped, (Interrupted, UserError)):
            book = Book(ledger, self._teachers, self._project.root)
            for ask in self._asks():
                if not answers.has(ask.number) and (answer := from_ledger(book, ask)) is not None:
                    answers.add(ask.number, answer)

    def rebuild(self, terms: list[str]) -> CollectResult:
        """answers.jsonl from the ledger alone."""
        with (
            Ledger(self._project.ledger) as ledger,
            Spool(self._project.answers) as answers,
            Spool(self._project.failures) as failures,
        ):
            book = Book(ledger, self._teachers, self._project.root)
            for ask in track(self._plan(), "Rebuilding", self._count(), "answers"):
                answer = from_ledger(book, ask)
                if answer is not None:
                    answers.add(ask.number, answer)
            carry_over(self._plan(), answers, failures, only=failures)
            result = self._result(answers, failures, terms)
        if result.answers + result.failed < result.wanted:
            missing = result.wanted - result.answers - result.failed
            raise WorkFailed(
                f"Rebuilt {result.answers:,} answers; the ledger has none to {missing:,} more. Run `distil collect`."
            )
        return result

    def forecast(self, terms: list[str]) -> CollectResult:
        """What is left to ask and what it will cost."""
        with Ledger(self._project.ledger) as ledger:
            book = Book(ledger, self._teachers, self._project.root)
            found = [
                forecast(teacher, tier, self._source(number), book)
                for number, (teacher, tier) in enumerate(zip(self._teachers, self._tiers, strict=True))
            ]
            uncertain, spent = ledger.uncertain("collect"), ledger.spent("collect")
        return CollectResult(
            wanted=sum(one.wanted for one in found),
            answers=sum(one.answered for one in found),
            failed=0,
            new=0,
            usd=0.0,
            usd_total=spent,
            uncertain_requests=uncertain.requests,
            uncertain_usd=uncertain.usd,
            forecast=tuple(found),
            terms=tuple(terms),
        )

    def _result(self, answers: Spool, failures: Spool, terms: list[str]) -> CollectResult:
        count, failed = answers.finish(), failures.finish()
        with Ledger(self._project.ledger) as ledger:
            uncertain, spent = ledger.uncertain("collect"), ledger.spent("collect")
        return CollectResult(
            wanted=self._wanted(),
            answers=count,
            failed=failed,
            new=self._new,
            usd=self._usd,
            usd_total=spent,
            uncertain_requests=uncertain.requests,
            uncertain_usd=uncertain.usd,
            reasons=reasons(read_records(failures.path, Failure)),
            terms=tuple(terms),
        )

    def _plan(self) -> Iterator[Ask]:
        return plan_asks(self._project, self._teachers, self._samples)

    def _asks(self) -> Iterator[Ask]:
        for ask in plan_asks(self._project, self._teachers, self._samples, self._limit):
            if self._only is None or ask.answer_id in self._only:
                yield ask

    def _source(self, number: int) -> Iterator[Ask]:
        teacher = self._teachers[number]
        return (ask for ask in self._asks() if ask.teacher is teacher)

    def _count(self) -> int:
        if self._only is not None:
            return sum(1 for _ in self._asks())
        per_prompt = len(self._teachers) * self._samples
        return self._wanted() if self._limit is None else min(self._limit * per_prompt, self._wanted())

    def _wanted(self) -> int:
        """Counted by lines: reading 200,000 prompts whole takes seconds."""
        with self._project.prompts.open("rb") as file:
            prompts = sum(1 for line in file if line.strip())
        return prompts * len(self._teachers) * self._samples

    def _tell_what_is_left_out(self) -> None:
        """Settings that a model refuses are not sent; silence about that would be a lie about how it was asked."""
        first = next(plan_asks(self._project, self._teachers, 1, 1), None)
        for teacher in self._teachers if first is not None else []:
            opened = open_keyless(teacher, self._project.root) if not parse_model(teacher.model).local else None
            ignored = getattr(opened.replicas[0], "ignored", None) if opened is not None else None
            names = ignored(first._replace(teacher=teacher).request()) if ignored and first is not None else []
            if names:
                _say(f"{teacher.model} takes no {', '.join(names)}: left out of the requests.")


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


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
