"""The sums of distillation: a month before, a month after, payback. Pure functions of numbers; nothing is read or printed.

The article's example is a test: 1M queries x 1k tokens at $30/M is $30,000; at $2/M $2,000; $700 once; payback under a day;
with 70% coverage and every query tried on the student first, 2,000 + 0.3 x 30,000 = 11,000, which saves $19,000.
"""

from __future__ import annotations

import math
from typing import NamedTuple

HOURS_PER_MONTH = 730.0
DAYS_PER_MONTH = 30.4


class Month(NamedTuple):
    """One way to run production for a month. Dollars."""

    student: float
    """The student's own cost, all queries tried on it first."""
    teacher: float
    """The teacher's share: fallbacks and audits."""

    @property
    def total(self) -> float:
        return self.student + self.teacher


def tokens_month(queries: float, input_tokens: float, output_tokens: float, price_in: float, price_out: float) -> float:
    """Dollars a month at list price. Prices are $ per million tokens."""
    return queries * (input_tokens * price_in + output_tokens * price_out) / 1e6


def machines_needed(
    queries: float, output_tokens: float, tokens_per_second: float, *, peak_to_mean: float, utilisation: float
) -> int:
    """Machines for the busiest hour: ceil(peak tokens/s / (measured tokens/s x utilisation)), at least one."""
    mean_rate = queries * output_tokens / (HOURS_PER_MONTH * 3600)
    return max(1, math.ceil(mean_rate * peak_to_mean / (tokens_per_second * utilisation)))


def hosted_month(usd_per_hour: float, machines: int) -> float:
    """Dollars a month for machines that run all the time, busy or idle."""
    return usd_per_hour * HOURS_PER_MONTH * machines


def teacher_share(coverage: float, *, deferred_cost_ratio: float = 1.0, audit_share: float = 0.0) -> float:
    """What the teacher is still paid, as a share of its whole month: (1 - c) kappa for fallbacks and eps c for audits.

    So a month of student first, teacher when unsure, costs C_S + (1 - c) kappa C_T + eps c C_T.

    `coverage` c is the share answered by the student; kappa = teacher cost of a deferred prompt over an average one;
    eps = share of the student's answers that are audited.
    """
    return (1 - coverage) * deferred_cost_ratio + audit_share * coverage


def payback_days(one_time: float, saving_per_month: float) -> float | None:
    """Days until the one-time cost is earned back; None = never."""
    return None if saving_per_month <= 0 else DAYS_PER_MONTH * one_time / saving_per_month


def break_even_coverage(
    student_month: float, teacher_month: float, *, deferred_cost_ratio: float, audit_share: float
) -> float | None:
    """Smallest coverage at which the gateway costs no more than the teacher alone: (C_S/C_T + kappa - 1) / (kappa - eps).

    None = not even full coverage is cheaper.
    """
    if teacher_month <= 0 or deferred_cost_ratio <= audit_share:
        return None
    coverage = (student_month / teacher_month + deferred_cost_ratio - 1) / (deferred_cost_ratio - audit_share)
    return max(0.0, coverage) if coverage <= 1 else None


def describe_payback(days: float | None) -> str:
    """`under a day`, `12 days`, `4.5 months`, or `never`."""
    if days is None:
        return "never"
    if days < 1:
        return "under a day"
    return f"{days:.0f} days" if days < 60 else f"{days / DAYS_PER_MONTH:.1f} months"
