"""One run of stage `collect`: asks, rebuilds or forecasts, and writes the files, also when asking is stopped halfway.

The order of the steps. Money and limits are `Client`'s, batches batched.py's, the manifest stage.py's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from distil import loops
from distil.calls.client import STOPPED, Client
from distil.calls.config import TeacherConfig
from distil.calls.ledger.store import Ledger
from distil.calls.request import Tier
from distil.collect.batched import BatchCollection
from distil.collect.config import CollectConfig
from distil.collect.display import Display
from distil.collect.forecast import forecasts
from distil.collect.ledger_view import LedgerView
from distil.collect.live import LiveCollection
from distil.collect.notices import notices, terms_of_all
from distil.collect.ordered_writer import OrderedWriter, carry_over
from distil.collect.questions import Question, plan_questions, tier_of
from distil.collect.result import CollectResult, reasons
from distil.errors import DistilError, Interrupted, UserError, WorkFailed
from distil.progress import bar, say, track
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records
from distil.runs.schemas.failures import Failure

PRUNED = (
    "it was paid for, its text was pruned from the ledger, and it will not be asked again; restore ledger.sqlite or "
    "work/collect/answers.jsonl from a copy"
)


class CollectRun:
    """`collect`, `rebuild` or `forecast`, once. only: ids of the wanted answers, None = all; limit: only the first prompts.

    prompts.jsonl is read once per pass (the first question, the count, each teacher's questions, what is left): with
    200,000 prompts, reading a stream up to five times costs seconds and keeping the prompts costs gigabytes.
    """

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
        self._section = section
        self._tiers: list[Tier] = [tier_of(teacher, section.service) for teacher in teachers]
        self.terms = terms_of_all(teacher.model for teacher in teachers)
        self._stopped: DistilError | None = None
        self._pruned = False
        self._new = 0
        self._usd = 0.0

    def collect(self) -> CollectResult:
        """Asks, writes the files also when asking is stopped, and then raises the error that stopped it."""
        first = next(plan_questions(self._project, self._teachers, 1, 1), None)
        if first is not None:
            for line in notices(first, self._teachers, self._samples, self._project.root):
                say(line)
        total = self._count()
        if total == 0:
            raise UserError(
                "There is nothing to ask. Load prompts with `distil prompts load`, or leave out --only and --limit."
            )
        with OrderedWriter(self._project.answers) as answers, OrderedWriter(self._project.failures) as failures:
            with Ledger(self._project.ledger) as ledger:
                uncertain = ledger.uncertain("collect")
                if uncertain.requests:
                    say(f"From earlier runs: {uncertain}.")
                try:
                    loops.run(self._ask(ledger, answers, failures, total))
                except (KeyboardInterrupt, asyncio.CancelledError):  # asyncio loses a Ctrl-C that comes as it starts
                    self._stopped = Interrupted(STOPPED)
                except DistilError as error:
                    self._stopped = error
                self._complete(ledger, answers, failures, total)
            result = self._result(answers, failures)
        if self._stopped is not None:
            if not result.answers:
                raise self._stopped
            count = f"{result.answers:,} of {result.wanted:,} answers are in work/collect/answers.jsonl."
            raise type(self._stopped)(f"{self._stopped} {count}")
        if result.answers == 0:
            why = result.reasons[0].why if result.reasons else "no teacher answered"
            raise WorkFailed(f"None of {result.wanted:,} requests was answered: {why}")
        return result

    async def _ask(self, ledger: Ledger, answers: OrderedWriter, failures: OrderedWriter, total: int) -> None:
        batched = BatchCollection(self._project, ledger, self._teachers, self._budget_usd)
        try:
            await batched.resume(
                {t.model for t, tier in zip(self._teachers, self._tiers, strict=True) if tier == "batch"}
            )
            for number, tier in enumerate(self._tiers):
                if tier == "batch":
                    await batched.buy((question, 0) for question in self._questions_to(number))
            async with Client(ledger, self._teachers, self._budget_usd, root=self._project.root) as client:
                with bar("Asking", total, "answers") as progress:
                    live = LiveCollection(
                        client,
                        batched,
                        answers,
                        failures,
                        Display(progress, total),
                        retry_empty=self._only is not None,
                        section=self._section,
                    )
                    try:
                        await live.run(self._tiers, [self._questions_to(number) for number in range(len(self._tiers))])
                    finally:
                        self._new, self._usd = client.stats.answered, client.stats.usd
                        self._pruned = live.pruned
        finally:
            self._new, self._usd = self._new + batched.answered, self._usd + batched.usd

    def _complete(self, ledger: Ledger, answers: OrderedWriter, failures: OrderedWriter, total: int) -> None:
        """Keeps earlier lines for what this run did not settle; after a stop other than Ctrl-C, reads the ledger once more."""
        settled = answers.count + failures.count
        partial = self._only is not None or self._limit is not None
        if partial or settled < total:
            carry_over(self._all_questions(), answers, failures)
        if self._stopped is not None and not isinstance(self._stopped, (Interrupted, UserError)):
            view = LedgerView(ledger, self._teachers, self._project.root)
            for question in self._questions():
                if not answers.has(question.position) and (answer := view.answer(question)) is not None:
                    answers.add(question.position, answer)
        if self._pruned and self._stopped is None:
            for question in self._questions():
                if not answers.has(question.position) and not failures.has(question.position):
                    failures.add(question.position, question.failure("pruned", PRUNED))

    def rebuild(self) -> CollectResult:
        """answers.jsonl from the ledger; a text that was pruned there is taken from the existing file."""
        with (
            Ledger(self._project.ledger) as ledger,
            OrderedWriter(self._project.answers) as answers,
            OrderedWriter(self._project.failures) as failures,
        ):
            view = LedgerView(ledger, self._teachers, self._project.root)
            for question in track(self._all_questions(), "Rebuilding", self._count(), "answers"):
                answer = view.answer(question)
                if answer is not None:
                    answers.add(question.position, answer)
            carry_over(self._all_questions(), answers, failures, failures_only=not view.saw_pruned)
            result = self._result(answers, failures)
        missing = result.wanted - result.answers - result.failed
        if missing > 0:
            hint = "Run `distil collect`."
            if view.saw_pruned:
                hint += f" Texts that were pruned from the ledger can only come from a copy of {self._project.answers}."
            raise WorkFailed(
                f"Rebuilt {result.answers:,} answers; the ledger does not have the other {missing:,}. {hint}"
            )
        return result

    def forecast(self) -> CollectResult:
        """What is left to ask and what it will cost."""
        with Ledger(self._project.ledger) as ledger:
            view = LedgerView(ledger, self._teachers, self._project.root)
            parts = forecasts(self._teachers, self._tiers, self._questions, view)
            uncertain, spent = ledger.uncertain("collect"), ledger.spent("collect")
        return CollectResult(
            wanted=sum(part.wanted for part in parts),
            answers=sum(part.answered for part in parts),
            failed=0,
            new=0,
            usd=0.0,
            usd_total=spent,
            uncertain_requests=uncertain.requests,
            uncertain_usd=uncertain.usd,
            forecast=tuple(parts),
            cap_usd=self._budget_usd,
            terms=tuple(self.terms),
        )

    def _result(self, answers: OrderedWriter, failures: OrderedWriter) -> CollectResult:
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
            cap_usd=self._budget_usd,
            reasons=reasons(read_records(failures.path, Failure)),
            terms=tuple(self.terms),
        )

    def _all_questions(self) -> Iterator[Question]:
        return plan_questions(self._project, self._teachers, self._samples)

    def _questions(self) -> Iterator[Question]:
        for question in plan_questions(self._project, self._teachers, self._samples, self._limit):
            if self._only is None or question.answer_id in self._only:
                yield question

    def _questions_to(self, number: int) -> Iterator[Question]:
        teacher = self._teachers[number]
        return (question for question in self._questions() if question.teacher is teacher)

    def _count(self) -> int:
        if self._only is not None:
            return sum(1 for _ in self._questions())
        per_prompt = len(self._teachers) * self._samples
        return self._wanted() if self._limit is None else min(self._limit * per_prompt, self._wanted())

    def _wanted(self) -> int:
        """Counts lines: parsing 200,000 prompts takes seconds."""
        with self._project.prompts.open("rb") as file:
            prompts = sum(1 for line in file if line.strip())
        return prompts * len(self._teachers) * self._samples
