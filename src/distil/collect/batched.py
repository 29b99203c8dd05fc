"""The batch half of collecting: finds out what is not answered, buys it in batches, and finishes batches of earlier runs.

The batches themselves are distil/calls/batch. Called by stage.py before anything is asked live.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from distil.calls.batch.job import BatchFolder, BatchRow
from distil.calls.batch.run import BatchBudget, BatchRun, Problem, open_batches
from distil.calls.config import TeacherConfig
from distil.calls.ledger.store import Ledger
from distil.calls.limits.estimate import Estimator
from distil.calls.prices import price_of
from distil.calls.providers.catalog import open_teacher
from distil.calls.request import Request
from distil.collect.ledger_view import LedgerView
from distil.collect.questions import Question
from distil.errors import UserError
from distil.progress import bar
from distil.runs.artifacts import Project


class BatchCollection:
    """Buys the answers of the teachers that are asked in batches."""

    def __init__(
        self, project: Project, ledger: Ledger, teachers: Sequence[TeacherConfig], cap_usd: float | None, poll_s: float
    ) -> None:
        self._root: Path = project.root
        self._ledger = ledger
        self._teachers = {teacher.model: teacher for teacher in teachers}
        self._cap_usd = cap_usd
        self._poll_s = poll_s
        self._shelf = BatchFolder(project.batches)
        self._book = LedgerView(ledger, teachers, project.root)
        self.usd = 0.0
        self.answered = 0
        self.problems: dict[str, Problem] = {}
        """Ledger key -> why it has no answer."""

    async def resume(self) -> None:
        """Waits for the batches of earlier runs, whatever the tier is now. Raises UserError for a teacher that is gone."""
        for model in dict.fromkeys(job.model for job in self._shelf.open_jobs()):
            if model not in self._teachers:
                raise UserError(
                    f"A batch of {model} is not finished, and this model is no teacher any more in distil.yaml. Put it back "
                    f"and run `distil collect` to fetch what was paid for, or delete {self._shelf.folder} to forget it."
                )
            await self._run(model, [])

    async def buy(self, tries: Iterable[tuple[Question, int]], quiet: bool = False) -> None:
        """Buys what the ledger does not hold of (ask, how often an empty answer came); neighbors of one teacher together.

        quiet: draws no bar, because another is being drawn. Raises BudgetReached, WorkFailed, UserError.
        """
        for model, group in itertools.groupby(tries, key=lambda one: one[0].teacher.model):
            await self._run(model, self._rows(model, group), quiet)

    def missing(self, request: Request) -> str | None:
        """Why a request of the batch tier has no answer in the ledger; None when it has one. It is never asked live."""
        identity = self._book.identify(request)
        call, _ = self._book.state(identity.key) or (None, False)
        if call is not None and call.status == "answered":
            return None
        problem = self.problems.get(identity.key)
        return problem.why if problem is not None else "it was not answered in a batch"

    async def _run(self, model: str, rows: Iterable[BatchRow], quiet: bool = False) -> None:
        teacher = self._teachers[model]
        opened = open_teacher(teacher, root=self._root)
        purse = BatchBudget(model, price_of(model, teacher.price, "batch"), self._cap_usd)
        async with open_batches(opened, self._ledger, self._shelf, purse, self._poll_s) as batches:
            batches.tell = _say
            with nullcontext() if quiet else _shown(batches, model):
                try:
                    await batches.buy(rows)
                finally:
                    self.usd += batches.usd
                    self.answered += batches.answered
                    self.problems |= batches.problems

    def _rows(self, model: str, tries: Iterable[tuple[Question, int]]) -> Iterator[BatchRow]:
        teacher, estimator = self._teachers[model], Estimator()
        quote = price_of(model, teacher.price, "batch")
        taken: set[str] = set()
        for ask, again in tries:
            request = ask.request("batch", again)
            identity = self._book.identify(request)
            call, in_batch = self._book.state(identity.key) or (None, False)
            if identity.key in taken or in_batch or (call is not None and call.status == "answered"):
                continue
            taken.add(identity.key)
            assert identity.wire is not None, "only HTTP teachers have batches"
            most = quote.most(estimator.most_input(request, len(identity.body)), request.sampling.max_tokens)
            yield BatchRow(identity.key, request.sample, identity.wire.body, most)


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


@contextmanager
def _shown(batches: BatchRun, model: str) -> Iterator[None]:
    """A bar of the answers in batches; how many there will be shows only when they are submitted."""
    with bar(f"{model} in batches", None, "answers") as running:

        def show(done: int, total: int, note: str) -> None:
            running.total = total
            running.update(done, note)

        batches.show = show
        yield
