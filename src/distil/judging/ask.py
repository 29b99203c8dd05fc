"""Asks the judge: a few questions first, to see whether it answers at all and takes a JSON schema; then all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from distil.calls.config import TeacherConfig
from distil.calls.faults import CallFailed
from distil.calls.providers.catalog import parse_model
from distil.calls.request import JsonObject, Request
from distil.errors import UserError
from distil.judging.asking import Asked, ask_all

PROBES = 3
"""Questions that are asked before all others, spread over the list."""
PROBE_ATTEMPTS = 3
"""How often each is sent at most: a judge that is down is found out in seconds."""


class Cap(NamedTuple):
    """What the judge may cost."""

    usd: float | None
    """Dollars, ever, for this purpose; None = no cap."""
    option: str
    """What raises it, such as `--set curate.budget_usd=`."""


Maker = Callable[[JsonObject | None], Sequence[Request]]


def ask(ledger: Path, judge: TeacherConfig, make: Maker, schema: JsonObject, cap: Cap) -> Asked:
    """The replies to `make(schema)`, or to `make(None)` where the judge takes no schema, in their order.

    When all probes fail for the judge's sake (500, no connection, a timeout), nothing else is sent: the evaluation goes on
    without it. Raises Interrupted (Ctrl-C).
    """
    wanted = schema if takes_schema(judge) else None
    requests = make(wanted)
    if not requests:
        return Asked([], 0.0, None)
    usd = 0.0
    for attempt in (wanted, None):
        requests = make(attempt)
        probe = _probe(ledger, judge, requests, cap)
        usd += probe.usd
        answered = any(reply is not None for reply in probe.replies)
        if answered or attempt is None or not _refused(probe.failure):
            break
    if not answered and isinstance(probe.failure, (CallFailed, UserError)) and not _refused(probe.failure):
        return Asked([None] * len(requests), usd, _stopped(judge, probe, len(requests)), probe.failure)
    asked = _ask(ledger, judge, requests, cap, "judge")
    return asked._replace(usd=asked.usd + usd)


def _ask(ledger: Path, judge: TeacherConfig, requests: Sequence[Request], cap: Cap, label: str) -> Asked:
    """As `ask_all`; a judge that is gone or takes no key must not cost the rest of the evaluation."""
    try:
        return ask_all(ledger, [judge], requests, budget_usd=cap.usd, label=label, cap_option=cap.option)
    except UserError as error:
        return Asked([None] * len(requests), 0.0, str(error), error)


def takes_schema(judge: TeacherConfig) -> bool:
    """Whether a JSON schema may be sent: to an API yes (it may still refuse), to a model in this process or a recording no."""
    return not parse_model(judge.model).local


def _probe(ledger: Path, judge: TeacherConfig, requests: Sequence[Request], cap: Cap) -> Asked:
    """The first, the middle and the last question."""
    places = sorted({0, len(requests) // 2, len(requests) - 1})[:PROBES]
    cautious = judge.model_copy(update={"attempts": min(judge.attempts, PROBE_ATTEMPTS)})
    chosen = [requests[place] for place in places]
    return _ask(ledger, cautious, chosen, cap, "judge, first questions")


def _refused(failure: Exception | None) -> bool:
    """The request as such was not accepted: without the schema it may be."""
    return isinstance(failure, CallFailed) and failure.fault.kind == "bad_request"


def _stopped(judge: TeacherConfig, probe: Asked, total: int) -> str:
    return (
        f"the judge {judge.model} failed on its first {len(probe.replies)} questions ({probe.failure}), so the other "
        f"{total - len(probe.replies):,} were not sent. Check it and run the same command again; answers that are there are "
        "kept."
    )
