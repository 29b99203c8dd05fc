"""What a bill is made of: the teacher's requests and prices, and what is known of the student."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from distil.calls.config import TeacherConfig
from distil.calls.fine_tuning.served import tuned
from distil.calls.ledger.store import Ledger
from distil.calls.prices import PriceQuote, quotes_of_day
from distil.cost.config import CostConfig
from distil.cost.requests import Requests, Tokens, dollars_of, production_requests, with_means
from distil.cost.student_tokens import Counted, count_for
from distil.errors import UserError
from distil.records import Call
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_document
from distil.runs.manifest import stage_state
from distil.runs.schemas.calibration import Calibration
from distil.runs.schemas.provider_job import Serving
from distil.runs.schemas.summary import Speed, Summary, read_summary


class Known(NamedTuple):
    """What is known of a student."""

    name: str | None
    summary: Summary | None
    calibration: Calibration | None
    void: str
    """Why its calibration no longer holds; empty: it does, or there is none."""
    serving: Serving | None
    """Where it answers, if it was tuned at a provider."""


def _known(project: Project, name: str | None) -> Known:
    if name is None:
        return Known(None, None, None, "", None)
    path, calibration, void = project.calibration(name), None, ""
    if path.exists():
        calibration = read_document(path, Calibration, command=f"distil calibrate {name}")
        state, why = stage_state(project, "serve", name)
        void = why if state == "stale" else ""
    summary = read_summary(project.summary(name)) if project.summary(name).exists() else None
    return Known(name, summary, calibration, void, tuned(project.provider_job(name), name))


class Facts(NamedTuple):
    """What a bill is made of."""

    section: CostConfig
    teacher: TeacherConfig
    calls: list[Call]
    measured: Requests
    requests: list[Tokens]
    """Those that are priced: measured, or as the config describes them."""
    day: datetime
    """Whose prices count."""
    quotes: list[tuple[float, PriceQuote]]
    """The teacher's prices of that day, with their shares of it."""
    counted: Counted | None
    """The student's tokens; None: as many as the teacher's."""
    known: Known
    warnings: list[str]

    @property
    def priced(self) -> bool:
        """Whether the teacher's price is known: what runs on your own machines has none unless you say what they cost."""
        return self.section.teacher_host is not None or any(quote.source != "local" for _, quote in self.quotes)

    @property
    def speed(self) -> Speed | None:
        """How fast the student was when it was evaluated."""
        return self.known.summary.speed.get(self.known.name or "") if self.known.summary else None

    @property
    def tokens_per_second(self) -> float | None:
        """Answer tokens, on the machine that evaluated."""
        return self.speed.tokens_per_second if self.speed else None

    def columns(self) -> list[list[float]]:
        """Per request: the teacher's dollars, the student's prompt tokens, the student's answer tokens."""
        ins, outs = (self.counted.inputs, self.counted.outputs) if self.counted else (1.0, 1.0)
        return [
            dollars_of(self.requests, self.quotes),
            [request.input_tokens * ins for request in self.requests],
            [request.visible * outs for request in self.requests],
        ]

    def spent(self) -> dict[str, float]:
        """Dollars by purpose."""
        spent: dict[str, float] = {}
        for call in self.calls:
            spent[call.purpose] = spent.get(call.purpose, 0.0) + call.usd
        return spent


def gather(project: Project, section: CostConfig, teachers: Sequence[TeacherConfig], name: str | None) -> Facts:
    """Reads it all. Raises UserError when there is no teacher, no price, or neither calls nor token counts in the config."""
    if not teachers:
        raise UserError(
            "No teacher is configured, so there is no cost to replace. Add one under `teachers:` in distil.yaml."
        )
    teacher, warnings, calls = teachers[0], list[str](), _calls(project)
    measured = production_requests(calls, teacher.model)
    requests = with_means(measured.tokens, section.input_tokens, section.output_tokens)
    if not requests:
        raise UserError(_ask_for_tokens(measured))
    if measured.unknown and measured.tokens:
        warnings.append(
            f"{measured.unknown:,} of {measured.unknown + len(measured.tokens):,} answered requests carry no token counts; the "
            "figures are those of the others."
        )
    day = datetime.now(UTC)
    if section.month is not None:
        day = datetime.strptime(section.month, "%Y-%m").replace(tzinfo=UTC)
    given = section.input_tokens is not None and section.output_tokens is not None
    facts = Facts(
        section,
        teacher,
        calls,
        measured,
        requests,
        day,
        quotes_of_day(teacher.model, teacher.price, day),
        None if given else count_for(project, name, calls),
        _known(project, name),
        warnings,
    )
    if not facts.priced:
        warnings.append(
            f"What {teacher.model} costs is unknown, so nothing can be said to be saved. Write its price under its name in "
            "distil.yaml (price: {input: 2.5, output: 10}), or what its machines cost: --set cost.teacher_host.usd_per_hour=4"
        )
    return facts


def _ask_for_tokens(measured: Requests) -> str:
    why = "The ledger has no answered call of the teacher"
    if measured.unknown:
        why = f"None of the {measured.unknown:,} answered calls of the teacher carries token counts"
    return (
        f"{why}, so the tokens per request are unknown. Run `distil collect` first, or set both: --set cost.input_tokens=800 "
        "--set cost.output_tokens=200."
    )


def _calls(project: Project) -> list[Call]:
    if not project.ledger.exists():
        return []
    with Ledger(project.ledger) as ledger:
        return list(ledger.calls())
