"""The ways to run production, priced for a month: the teacher alone, the student alone, and both together at any share."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Literal, NamedTuple

from distil.cost.arithmetic import Month, describe_payback, hosted_month, payback_days, teacher_share
from distil.cost.config import TeacherHost
from distil.cost.sampling import interval
from distil.cost.student import Host
from distil.runs.schemas.cost import Option, Share, Swing, alone

Routing = Literal["tried first", "routed before"]
SHARES = [step / 10 for step in range(11)]


class Means(NamedTuple):
    """Means over production's requests."""

    usd: float
    """Of the teacher's price."""
    input_tokens: float
    """For the student."""
    output_tokens: float
    """That the student writes."""


class Sums(NamedTuple):
    """The parts of a month that do not depend on which requests were measured."""

    queries: float
    deferred_cost_ratio: float
    audit_share: float
    retraining_usd: float
    teacher_host: TeacherHost | None
    """Machines that run the teacher; None: it is paid by the request."""
    priced: bool
    """Whether the teacher's price is known."""

    def teacher(self, usd: float, share: float = 1.0) -> float:
        """Dollars of the teacher for a share of the requests. Machines run as long as there is any."""
        if self.teacher_host is None:
            return self.queries * usd * share
        needed = math.ceil(self.teacher_host.machines * min(share, 1.0))
        return hosted_month(self.teacher_host.usd_per_hour, needed)

    def together(self, way: Host, coverage: float, routing: Routing | None, means: Means) -> Month:
        """Student and teacher where the student answers `coverage` of the requests."""
        tried = self.queries if routing != "routed before" else self.queries * coverage
        student = way.month(tried, means.input_tokens, means.output_tokens) if tried else 0.0
        student += self.retraining_usd if coverage else 0.0
        return Month(student, self.teacher_at(coverage, means))

    def teacher_at(self, coverage: float, means: Means) -> float:
        """Dollars of the teacher where the student answers `coverage` of the requests: fallbacks and audits."""
        share = teacher_share(coverage, deferred_cost_ratio=self.deferred_cost_ratio, audit_share=self.audit_share)
        return self.teacher(means.usd, share)

    def saving(self, way: Host, coverage: float, routing: Routing | None, means: Means) -> float:
        """Dollars a month against the teacher alone."""
        return self.teacher(means.usd) - self.together(way, coverage, routing, means).total


class Plan(NamedTuple):
    """What the options are made of."""

    sums: Sums
    means: Means
    draws: Sequence[tuple[float, ...]]
    """Means for requests drawn again."""
    one_time: float
    label: str
    """The student's name."""
    coverage: float
    coverage_source: str
    not_allowed: dict[bool, str]
    """Why the student must not answer: alone (True), with the teacher behind it (False); empty: it may."""
    today: date


def options(plan: Plan, ways: Sequence[Host]) -> list[Option]:
    """The teacher alone, then the student alone, tried first and routed before, for each place where it can run."""
    sums, known = plan.sums, plan.sums.priced
    month = sums.teacher(plan.means.usd) if known else None
    found = [
        Option(
            name="teacher only", coverage=0.0, coverage_source="all", student_usd=0.0, teacher_usd=month, total_usd=month,
            saving_usd=None if month is None else 0.0, payback_days=None, payback="-",
        )
    ]  # fmt: skip
    places: Sequence[Host | None] = ways or [None]
    for way in places:
        found.append(_option(plan, way, 1.0, "all", None))
        found.append(_option(plan, way, plan.coverage, plan.coverage_source, "tried first"))
        if way is not None and 0 < plan.coverage < 1:
            found.append(_option(plan, way, plan.coverage, plan.coverage_source, "routed before"))
    return found


def _option(plan: Plan, way: Host | None, coverage: float, source: str, routing: Routing | None) -> Option:
    sums, means = plan.sums, plan.means
    name = alone(plan.label) if routing is None else f"{plan.label} + teacher"
    refused = plan.not_allowed.get(routing is None, "")
    option = Option(
        name=name, coverage=coverage, coverage_source=source, student_usd=None,
        teacher_usd=sums.teacher_at(coverage, means) if sums.priced else None, total_usd=None, saving_usd=None,
        payback_days=None, payback="unknown", routing=routing or "", host=way.name if way else "", not_allowed=refused,
    )  # fmt: skip
    if way is None:
        return option
    month = sums.together(way, coverage, routing, means)
    option = option.model_copy(update={"student_usd": month.student})
    if not sums.priced:
        return option
    option = option.model_copy(update={"total_usd": month.total})
    if refused:
        return option.model_copy(update={"payback": "-"})
    saving = sums.saving(way, coverage, routing, means)
    days = payback_days(plan.one_time, saving)
    within = interval(plan.draws, lambda *draw: sums.saving(way, coverage, routing, Means(*draw)))
    return option.model_copy(
        update={
            "saving_usd": saving,
            "saving_low_usd": within and within[0],
            "saving_high_usd": within and within[1],
            "payback_days": days,
            "payback": describe_payback(days),
            "payback_date": _date(plan.today, days),
        }
    )


def _date(today: date, days: float | None) -> str | None:
    if days is None or days > 36_500:
        return None
    return (today + timedelta(days=math.ceil(days))).isoformat()


def shares(plan: Plan, way: Host) -> list[Share]:
    """The bill over the share that the student answers."""
    return [
        Share(
            share=share,
            tried_first_usd=plan.sums.together(way, share, "tried first", plan.means).total,
            routed_before_usd=plan.sums.together(way, share, "routed before", plan.means).total,
        )
        for share in SHARES
    ]


def break_even_queries(plan: Plan, way: Host, coverage: float) -> int | None:
    """Requests a month from which the student at this coverage is cheaper; None where the volume does not decide.

    By bisection: machines come in steps, so the saving may dip below zero again above it where a machine is added.
    """
    routing: Routing | None = None if coverage == 1 else "tried first"

    def saves(queries: float) -> bool:
        return plan.sums._replace(queries=queries).saving(way, coverage, routing, plan.means) > 0

    low, high = 1.0, 1e13
    if not plan.sums.priced or saves(low) or not saves(high):
        return None
    while high / low > 1.0001:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if saves(middle) else (middle, high)
    return math.ceil(high)


def tornado(plan: Plan, ways: Sequence[tuple[str, Host, Host]]) -> list[Swing]:
    """The saving with one assumption changed at a time, the largest swing first, without those that change nothing.

    ways: the place where the student runs, then (what changes, it at one end, it at the other end).
    """
    way, swings = ways[0][1], []
    routing = _routing(plan)
    for factor, worse, better in _changes(plan):
        at = [each[0].saving(way, each[1], routing, each[2]) for each in (worse, better)]
        swings.append(Swing(factor=factor, low_usd=min(at), high_usd=max(at)))
    for factor, low, high in ways[1:]:
        at = [plan.sums.saving(each, plan.coverage, routing, plan.means) for each in (low, high)]
        swings.append(Swing(factor=factor, low_usd=min(at), high_usd=max(at)))
    moved = [swing for swing in swings if swing.high_usd > swing.low_usd]
    return sorted(moved, key=lambda swing: swing.low_usd - swing.high_usd)


def expected_saving(plan: Plan, way: Host) -> float:
    """The saving from which the tornado starts: the student alone at a coverage of 1, else tried first."""
    return plan.sums.saving(way, plan.coverage, _routing(plan), plan.means)


def _routing(plan: Plan) -> Routing | None:
    return None if plan.coverage == 1 else "tried first"


_Case = tuple[Sums, float, Means]


def _changes(plan: Plan) -> Iterator[tuple[str, _Case, _Case]]:
    sums, coverage, means = plan.sums, plan.coverage, plan.means
    volume = [sums._replace(queries=sums.queries * factor) for factor in (0.5, 2.0)]
    yield "requests a month, half to double", (volume[0], coverage, means), (volume[1], coverage, means)
    tokens = [Means(*(value * factor for value in means)) for factor in (0.75, 1.25)]
    yield "tokens per request, -25% to +25%", (sums, coverage, tokens[0]), (sums, coverage, tokens[1])
    price = [means._replace(usd=means.usd * factor) for factor in (0.75, 1.25)]
    yield "the teacher's price, -25% to +25%", (sums, coverage, price[0]), (sums, coverage, price[1])
    if coverage < 1:
        less, more = max(0.0, coverage - 0.1), min(1.0, coverage + 0.1)
        name = f"share that the student answers, {less:.0%} to {more:.0%}"
        yield name, (sums, less, means), (sums, more, means)
        ratio = [sums._replace(deferred_cost_ratio=sums.deferred_cost_ratio * factor) for factor in (1.5, 1.0)]
        yield "what falls back costs half as much again", (ratio[0], coverage, means), (ratio[1], coverage, means)
