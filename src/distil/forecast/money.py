"""What the student would save a month: the teacher's dollars that it takes over, less what it costs itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from distil.cost.arithmetic import describe_payback, payback_days
from distil.cost.config import CostConfig
from distil.cost.sampling import draws_of_means, interval
from distil.cost.student import Host, hosts_of
from distil.forecast.quality import Floats, within
from distil.forecast.result import Between, Money
from distil.forecast.traffic import Traffic
from distil.progress import dollars

ESTIMATED = 0.15
"""How far a sum of estimated tokens may be off: formats/tokens.py was within 10% of real tokenizers on six kinds of texts."""


class TakenOver(NamedTuple):
    """What the student would do, per request of all traffic."""

    share: Floats
    """Answered, by the better predictor: as measured, then in requests drawn again."""
    words_share: Floats
    """The same by words alone."""
    usd: Floats
    """Teacher's dollars of what it answers."""
    words_usd: Floats
    ahead_share: Floats
    """The same by the better predictor with four times the examples, by its learning curve."""
    ahead_usd: Floats
    tried: float
    """Share of requests that it is asked."""
    input_tokens: float
    output_tokens: float
    """Means of one that it is asked; answers without reasoning."""


def total(parts: Sequence[TakenOver], weights: Sequence[float]) -> TakenOver:
    """All slices together. weights: their shares of the requests."""
    if not parts:
        none = np.zeros(1)
        return TakenOver(none, none, none, none, none, none, 0.0, 0.0, 0.0)
    tried = sum(weights)
    return TakenOver(
        _sum([part.share for part in parts], weights),
        _sum([part.words_share for part in parts], weights),
        _sum([part.usd for part in parts], weights),
        _sum([part.words_usd for part in parts], weights),
        _sum([part.ahead_share for part in parts], weights),
        _sum([part.ahead_usd for part in parts], weights),
        tried,
        sum(part.input_tokens * w for part, w in zip(parts, weights, strict=True)) / tried,
        sum(part.output_tokens * w for part, w in zip(parts, weights, strict=True)) / tried,
    )


def _sum(values: Sequence[Floats], weights: Sequence[float]) -> Floats:
    return np.asarray(sum(value * weight for value, weight in zip(values, weights, strict=True)))


def spread(best: Floats, words: Floats, ahead: Floats, scale: float = 1.0) -> Between:
    """The measured figure, from the low end of the predictor that knows only words to the high end with more examples."""
    if len(best) < 2:
        value = float(best[0]) * scale
        return Between(value=value, low=value, high=value)
    low, high = within(words)[0], max(within(best)[1], within(ahead)[1])
    value = float(best[0])
    return Between(value=value * scale, low=min(low, value) * scale, high=max(high, value) * scale)


def month_of(traffic: Traffic, queries: int | None) -> tuple[float, str]:
    """(requests a month, where that comes from)."""
    if queries is not None:
        return float(queries), "cost.queries_per_month"
    pace, days = traffic.span.a_month(), traffic.span.days()
    if pace is not None and days is not None:
        return pace, f"the log's pace: {traffic.requests:,} requests in {days:,.1f} days"
    return float(traffic.requests), "the log is taken as one month, since it does not say how long it ran"


def teacher_month(traffic: Traffic, a_month: float) -> Between | None:
    """The bill as it is; None where the price of any model is unknown."""
    if len(traffic.dollars) < traffic.requests:
        return None
    mean = sum(traffic.dollars) / len(traffic.dollars)
    found = interval(draws_of_means([traffic.dollars]), lambda usd: usd)
    low, high = found or (mean, mean)
    off = ESTIMATED * sum(model.estimated_usd for model in traffic.models.values()) / len(traffic.dollars)
    return Between(value=mean * a_month, low=(low - off) * a_month, high=(high + off) * a_month)


def save(
    traffic: Traffic,
    section: CostConfig,
    queries: int | None,
    taken: TakenOver,
    collect_usd: float,
    warnings: list[str],
) -> Money:
    """The month with the student. warnings: what is missing is added to them."""
    a_month, source = month_of(traffic, queries)
    teacher = teacher_month(traffic, a_month)
    own = 1 - section.audit_share
    avoided = None if teacher is None else spread(taken.usd, taken.words_usd, taken.ahead_usd, a_month * own)
    way = _where(section, warnings) if taken.tried else None
    student = None
    if way is not None:
        student = (
            way.month(max(a_month * taken.tried, 1.0), taken.input_tokens, taken.output_tokens) + section.retraining_usd
        )
    saving = None
    if avoided is not None and student is not None:
        saving = Between(value=avoided.value - student, low=avoided.low - student, high=avoided.high - student)
    one_time = None if teacher is None else collect_usd + section.training_usd
    per_request = float(taken.usd[0]) * own
    return Money(
        requests_a_month=a_month,
        month_source=source,
        teacher_usd=teacher,
        avoided_usd=avoided,
        student_usd=student,
        saving_usd=saving,
        one_time_usd=one_time,
        payback="unknown"
        if saving is None or one_time is None
        else describe_payback(payback_days(one_time, saving.value)),
        break_even_queries=None
        if way is None or avoided is None
        else _break_even(way, taken, per_request, section.retraining_usd),
        possible_usd=None,
        most_usd=None if avoided is None else max(0.0, avoided.value - section.retraining_usd),
    )


def _where(section: CostConfig, warnings: list[str]) -> Host | None:
    host = section.student_host
    if host is None:
        warnings.append(
            "Where the student would run is unknown, so the saving is before its own cost. Add --set "
            "cost.student_host.usd_per_hour=0.6 --set cost.student_host.tokens_per_second=500 (a machine), or "
            "cost.student_host.input and output (a provider's $ per million tokens)."
        )
        return None
    ways = hosts_of(host, None)
    if not ways:
        warnings.append(
            "How fast the student's machine is is unknown before there is a student. Add --set "
            "cost.student_host.tokens_per_second=N: answer tokens a second of one machine."
        )
    return ways[0] if ways else None


def _break_even(way: Host, taken: TakenOver, per_request: float, retraining: float) -> int | None:
    """Requests a month from which it saves: by bisection, since machines come in steps."""

    def saves(queries: float) -> bool:
        month = way.month(max(queries * taken.tried, 1.0), taken.input_tokens, taken.output_tokens)
        return queries * per_request > month + retraining

    low, high = 1.0, 1e13
    if saves(low) or not saves(high):
        return None
    while high / low > 1.0001:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if saves(middle) else (middle, high)
    return math.ceil(high)


def told(section: CostConfig, money: Money, taken: TakenOver) -> dict[str, str]:
    """What the sums rest on, in words."""
    said = {
        "requests a month": f"{money.requests_a_month:,.0f} ({money.month_source})",
        "audits": f"{section.audit_share:.0%} of the student's answers (cost.audit_share)",
        "keeping it fresh": f"{dollars(section.retraining_usd)} a month (cost.retraining_usd)",
        "training": f"{dollars(section.training_usd)} once (cost.training_usd)",
    }
    if taken.tried:
        said["the student is asked"] = (
            f"{taken.tried:.0%} of the requests, {taken.input_tokens:,.0f} + {taken.output_tokens:,.0f} tokens each as the "
            "teacher counts them; what it is unsure of goes on to the teacher"
        )
    if section.student_host is not None and section.student_host.usd_per_hour is not None:
        host = section.student_host
        said["machines"] = (
            f"{dollars(host.usd_per_hour or 0.0)} an hour, {host.tokens_per_second or 0:,.0f} tokens/s, {host.utilisation:.0%} "
            f"busy in the busiest hour, which has {host.peak_to_mean:g} times the mean"
        )
    return said
