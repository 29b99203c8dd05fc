"""The work of stage `collect`: asks, rebuilds or forecasts, and writes the files, also when the asking is stopped half-way.

What is done in which order; money and limits are `Client`'s, batches buying.py's, the manifest stage.py's. Called by stage.py.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence

from distil.calls.client import Client
from distil.calls.config import TeacherConfig
from distil.calls.ledger.store import Ledger
from distil.calls.request import Tier
from distil.collect.batched import BatchCollection
from distil.collect.config import CollectConfig
from distil.collect.display import Display
from distil.collect.forecast import forecasts
from distil.collect.ledger_view import LedgerView
from distil.collect.live import LiveCollection
from distil.collect.notices import remarks
from distil.collect.ordered_writer import OrderedWriter
from distil.collect.questions import Failure, Question, plan_asks, tier_of
from distil.collect.rebuild import carry_over, from_ledger
from distil.collect.result import CollectResult, reasons
from distil.errors import DistilError, Interrupted, UserError, WorkFailed
from distil.progress import bar, track
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records

PRUNED = (
    "it was paid for, its text was pruned from the ledger, and it is not asked again; restore ledger.sqlite or "
    "work/collect/answers.jsonl from a copy"
)


def say(line: str) -> None:
    """One line for a person, on stderr."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


class CollectRun:
    """One call of `stage.run`, unpacked: `collect`, `rebuild` or `forecast`. only: ids of the answers that are wanted."""

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
        self._flex_full = section.flex_full
        self._tiers: list[Tier] = [tier_of(teacher, section.service) for teacher in teachers]
        self._stopped: DistilError | None = None
        self._pruned = False
        self._new = 0
        self._usd = 0.0

    def collect(self, poll_s: float, terms: list[str]) -> CollectResult:
        """Asks, writes the files also when the asking is stopped, and then raises what stopped it."""
        first = next(plan_asks(self._project, self._teachers, 1, 1), None)
        if first is not None:
            for line in remarks(first, self._teachers, self._samples, self._project.root):
                say(line)
        total = self._count()
        if total == 0:
            raise UserError(
                "There is nothing to ask: no prompt is left. Check `distil prompts load`, or drop --only and --limit."
            )
        with OrderedWriter(self._project.answers) as answers, OrderedWriter(self._project.failures) as failures:
            with Ledger(self._project.ledger) as ledger:
                before = ledger.uncertain("collect")
                if before.requests:
                    say(f"From earlier runs: {before}.")
                try:
                    asyncio.run(self._ask(ledger, answers, failures, total, poll_s))
                except (KeyboardInterrupt, asyncio.CancelledError):  # asyncio forgets a Ctrl-C that comes as it starts
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

    async def _ask(
        self, ledger: Ledger, answers: OrderedWriter, failures: OrderedWriter, total: int, poll_s: float
    ) -> None:
        buyer = BatchCollection(self._project, ledger, self._teachers, self._budget_usd, poll_s)
        try:
            await buyer.resume()
            for number, tier in enumerate(self._tiers):
                if tier == "batch":
                    await buyer.buy((ask, 0) for ask in self._source(number))
            async with Client(ledger, self._teachers, self._budget_usd, root=self._project.root) as client:
                with bar("Asking", total, "answers") as running:
                    display = Display(running, total)
                    asking = LiveCollection(client, buyer, answers, failures, display)
                    asking.insist, asking.flex_full = self._only is not None, self._flex_full
                    try:
                        await asking.run(self._tiers, self._source)
                    finally:
                        self._new, self._usd = client.stats.answered, client.stats.usd
                        self._pruned = asking.pruned
        finally:
            self._new, self._usd = self._new + buyer.answered, self._usd + buyer.usd

    def _complete(self, ledger: Ledger, answers: OrderedWriter, failures: OrderedWriter, total: int) -> None:
        """What this run did not settle stays as it was; after a stop that is no Ctrl-C the ledger is read once more."""
        settled = answers.count + failures.count
        partial = self._only is not None or self._limit is not None
        if partial or settled < total:
            carry_over(self._plan(), answers, failures)
        if self._stopped is not None and not isinstance(self._stopped, (Interrupted, UserError)):
            book = LedgerView(ledger, self._teachers, self._project.root)
            for ask in self._asks():
                if not answers.has(ask.number) and (answer := from_ledger(book, ask)) is not None:
                    answers.add(ask.number, answer)
        if self._pruned and self._stopped is None:
            for ask in self._asks():
                if not answers.has(ask.number) and not failures.has(ask.number):
                    failures.add(ask.number, ask.failure("pruned", PRUNED))

    def rebuild(self, terms: list[str]) -> CollectResult:
        """answers.jsonl from the ledger; a text that was pruned there is kept from the file as it is."""
        with (
            Ledger(self._project.ledger) as ledger,
            OrderedWriter(self._project.answers) as answers,
            OrderedWriter(self._project.failures) as failures,
        ):
            book = LedgerView(ledger, self._teachers, self._project.root)
            for ask in track(self._plan(), "Rebuilding", self._count(), "answers"):
                answer = from_ledger(book, ask)
                if answer is not None:
                    answers.add(ask.number, answer)
            carry_over(self._plan(), answers, failures, only=None if book.saw_pruned else failures)
            result = self._result(answers, failures, terms)
        if result.answers + result.failed < result.wanted:
            missing = result.wanted - result.answers - result.failed
            what = "Run `distil collect`."
            if book.saw_pruned:
                what += (
                    f" Of those whose text was pruned from the ledger, only {self._project.answers} in a copy has it."
                )
            raise WorkFailed(f"Rebuilt {result.answers:,} answers; the ledger has none to {missing:,} more. {what}")
        return result

    def forecast(self, terms: list[str]) -> CollectResult:
        """What is left to ask and what it will cost."""
        with Ledger(self._project.ledger) as ledger:
            book = LedgerView(ledger, self._teachers, self._project.root)
            found = forecasts(self._teachers, self._tiers, self._asks, book)
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
            cap_usd=self._budget_usd,
            terms=tuple(terms),
        )

    def _result(self, answers: OrderedWriter, failures: OrderedWriter, terms: list[str]) -> CollectResult:
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
            terms=tuple(terms),
        )

    def _plan(self) -> Iterator[Question]:
        return plan_asks(self._project, self._teachers, self._samples)

    def _asks(self) -> Iterator[Question]:
        for ask in plan_asks(self._project, self._teachers, self._samples, self._limit):
            if self._only is None or ask.answer_id in self._only:
                yield ask

    def _source(self, number: int) -> Iterator[Question]:
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
