"""The batch half of collecting: finds what is not answered, buys it in batches, and finishes batches of earlier runs.

The batches themselves are distil/calls/batch.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import nullcontext

from distil.calls.batch.intake import BatchBudget, Problem
from distil.calls.batch.job import BatchFolder, BatchJob, BatchRow
from distil.calls.batch.run import cancelled_words, open_batches
from distil.calls.config import TeacherConfig
from distil.calls.ledger.store import Ledger
from distil.calls.limits.estimate import Estimator
from distil.calls.prices import price_of
from distil.calls.providers.catalog import open_teacher
from distil.calls.request import Request
from distil.collect.ledger_view import LedgerView
from distil.collect.questions import Question
from distil.errors import UserError, WorkFailed
from distil.progress import bar, say
from distil.runs.artifacts import Project


class BatchCollection:
    """Buys the answers of the teachers that are asked in batches."""

    def __init__(
        self, project: Project, ledger: Ledger, teachers: Sequence[TeacherConfig], cap_usd: float | None
    ) -> None:
        self._root = project.root
        self._ledger = ledger
        self._teachers = {teacher.model: teacher for teacher in teachers}
        self._cap_usd = cap_usd
        self._folder = BatchFolder(project.batches)
        self._view = LedgerView(ledger, teachers, project.root)
        self.usd = 0.0
        self.answered = 0
        self.problems: dict[str, Problem] = {}
        """Ledger key -> why it has no answer."""
        self._held: dict[str, BatchJob] = {}

    async def resume(self, bought: Collection[str]) -> None:
        """Waits for the batches of earlier runs. bought: the teachers that `buy` is called for, which resumes theirs.

        What can't be fetched now never holds up the others: it is said, and its prompts are left out of this run.
        """
        for job in self._folder.jobs():
            if job.state == "cancelled":
                say(cancelled_words(job))
        for model in dict.fromkeys(job.model for job in self._folder.open_jobs()):
            if model not in self._teachers:
                ids = ", ".join(job.batch_id or job.intent for job in self._folder.open_jobs(model))
                say(
                    f"A batch of {model} is unfinished ({ids}), and that model is no longer a teacher. Put it back under "
                    f"`teachers:` in distil.yaml to fetch what was paid for, or type `distil batches forget ID`."
                )
            elif model not in bought:
                try:
                    await self._run(model, [])
                except (WorkFailed, UserError) as error:
                    say(f"{error} The prompts of the unfinished batches of {model} are left out of this run.")
        self._held = self._folder.held()

    async def buy(self, questions: Iterable[tuple[Question, int]], quiet: bool = False) -> None:
        """Buys what the ledger does not hold of (question, number of empty answers so far), one teacher after the other.

        quiet: draws no bar, because another one is on screen. Raises BudgetReached, WorkFailed, UserError.
        """
        for model, group in itertools.groupby(questions, key=lambda pair: pair[0].teacher.model):
            await self._run(model, self._rows(model, group), quiet)
        self._held = self._folder.held()

    def held(self, request: Request) -> str | None:
        """Why a request waits in a batch, whatever its tier; None when it does not. It is never sent live meanwhile."""
        if not self._held:
            return None
        key = self._view.identify(request).key
        job = self._held.get(key)
        call, _ = self._view.state(key) if job is not None else (None, False)
        if job is None or (call is not None and call.status == "answered"):
            return None
        name = job.batch_id or job.intent
        if job.open:
            return f"it is in the batch {name}, which is not finished; `distil batches` shows it"
        return f"its batch {name} was cancelled; `distil batches forget {name}` lets it be asked again"

    def missing(self, request: Request) -> str | None:
        """Why a request of the batch tier has no answer in the ledger; None when it has one. It is never sent live."""
        key = self._view.identify(request).key
        call, _ = self._view.state(key)
        if call is not None and call.status == "answered":
            return None
        problem = self.problems.get(key)
        return problem.why if problem is not None else "it was not answered in a batch"

    async def _run(self, model: str, rows: Iterable[BatchRow], quiet: bool = False) -> None:
        teacher = self._teachers[model]
        opened = open_teacher(teacher, root=self._root)
        budget = BatchBudget(model, price_of(model, teacher.price, "batch"), self._cap_usd)
        with nullcontext() if quiet else bar(f"{model} in batches", None, "answers") as progress:

            def show(done: int, total: int, note: str) -> None:
                if progress is not None:
                    progress.total = total  # known only once the batches are submitted
                    progress.update(done, note)

            async with open_batches(opened, self._ledger, self._folder, budget, show=show, tell=say) as batches:
                try:
                    await batches.buy(rows)
                finally:
                    self.usd += batches.usd
                    self.answered += batches.answered
                    self.problems |= batches.problems

    def _rows(self, model: str, questions: Iterable[tuple[Question, int]]) -> Iterator[BatchRow]:
        teacher, estimator = self._teachers[model], Estimator()
        quote = price_of(model, teacher.price, "batch")
        held, queued = self._folder.held(), set[str]()
        for question, retry in questions:
            request = question.request("batch", retry)
            identity = self._view.identify(request)
            call, _ = self._view.state(identity.key)
            if identity.key in queued or identity.key in held or (call is not None and call.status == "answered"):
                continue
            queued.add(identity.key)
            assert identity.wire is not None, "only HTTP teachers have batches"
            max_usd = quote.max_cost(estimator.max_input(request, len(identity.body)), request.sampling.max_tokens)
            yield BatchRow(identity.key, request.sample, identity.wire.body, max_usd)
