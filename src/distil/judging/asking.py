"""Sends a list of requests through the one door to paid calls and waits for all replies, under a cap."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from distil import loops
from distil.calls.client import Client
from distil.calls.config import TeacherConfig
from distil.calls.faults import CallFailed
from distil.calls.request import Reply, Request
from distil.errors import BudgetReached, Interrupted, WorkFailed
from distil.progress import bar
from distil.records import Message


class Asked(NamedTuple):
    """What came back from a list of requests."""

    replies: list[Reply | None]
    """In the order of the requests; None where one failed or was never sent."""
    usd: float
    """Paid now (answers that the ledger already had cost nothing)."""
    why_incomplete: str | None
    """One line for a person when some are missing."""
    failure: Exception | None = None
    """The first failure."""

    def ends_here(self, models: Sequence[TeacherConfig]) -> bool:
        """Whether asking these models again would give no more: nothing is missing, or a file has no more answers.

        A cap that was reached can be raised, also where it stopped the reading of a file.
        """
        recorded = all(model.model.startswith("recorded/") for model in models)
        return self.why_incomplete is None or (recorded and not isinstance(self.failure, BudgetReached))


def check(ledger: Path, model: TeacherConfig) -> None:
    """Whether a model can be asked at all, before any work is done. Raises UserError (no key, unknown provider, no price)."""

    async def identify() -> None:
        async with Client(ledger=ledger, teachers=[model]) as client:
            client.check(Request(model=model.model, messages=[Message(role="user", content="?")], purpose="judge"))

    loops.run(identify())


def ask_all(
    ledger: Path,
    models: Sequence[TeacherConfig],
    requests: Sequence[Request],
    *,
    budget_usd: float | None,
    label: str,
    cap_option: str,
) -> Asked:
    """Sends the requests and waits for the replies; failed ones, and those beyond the cap, are missing.

    budget_usd: what may ever be paid for the purposes of these requests; cap_option: what raises it, for the message when it is
    reached. Raises UserError (no key, unknown model) and Interrupted (Ctrl-C, once what was in flight has been kept).
    """
    return loops.run(_ask_all(ledger, models, requests, budget_usd, label, cap_option))


async def _ask_all(
    ledger: Path,
    models: Sequence[TeacherConfig],
    requests: Sequence[Request],
    budget_usd: float | None,
    label: str,
    cap_option: str,
) -> Asked:
    replies: list[Reply | None] = [None] * len(requests)
    failure: Exception | None = None
    async with Client(ledger=ledger, teachers=list(models), budget_usd=budget_usd, cap_option=cap_option) as client:
        with bar(label, len(requests), "answers") as running:
            wanted: list[tuple[int, Request]] = []
            # What is paid for comes first: a cap that ends the asking must not hide it.
            for index, request in enumerate(requests):
                try:
                    replies[index] = client.kept(request)
                except CallFailed as error:
                    failure = failure or error
                    running.advance()
                    continue
                if replies[index] is None:
                    wanted.append((index, request))
                else:
                    running.advance()
            try:
                async for index, result in client.map(wanted):
                    if isinstance(result, Reply):
                        replies[index] = result
                    else:
                        failure = failure or result
                    running.advance()
            except (WorkFailed, BudgetReached) as error:
                failure = error  # the end of all asking says more than one question that failed before
        if isinstance(client.ended, Interrupted):
            raise client.ended  # all may be answered, and still the person wants to stop
    usd = sum(reply.usd for reply in replies if reply is not None and not reply.cached)
    missing = sum(reply is None for reply in replies)
    why = f"{missing} of {len(requests)} were not answered: {failure}" if missing else None
    return Asked(replies, usd, why, failure)
