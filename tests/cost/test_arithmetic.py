"""The article's sums, and the corners where a payback does not exist."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distil.cost.arithmetic import (
    Month,
    break_even_coverage,
    describe_payback,
    hosted_month,
    machines_needed,
    payback_days,
    teacher_share,
    tokens_month,
)


def test_the_articles_month_costs_30000_or_2000_dollars() -> None:
    assert tokens_month(1_000_000, 1_000, 0, 30.0, 0.0) == pytest.approx(30_000)
    assert tokens_month(1_000_000, 1_000, 0, 2.0, 0.0) == pytest.approx(2_000)


def test_the_articles_700_dollars_pay_back_within_a_day() -> None:
    days = payback_days(500 + 200, 30_000 - 2_000)
    assert days is not None and days < 1
    assert describe_payback(days) == "under a day"


def test_a_coverage_of_70_percent_saves_19000_a_month() -> None:
    month = Month(2_000, 30_000 * teacher_share(0.7))
    assert month.total == pytest.approx(11_000)
    assert 30_000 - month.total == pytest.approx(19_000)


def test_longer_fallbacks_and_audits_cost_what_the_formula_gives() -> None:
    month = Month(10.0, 100.0 * teacher_share(0.7, deferred_cost_ratio=1.5, audit_share=0.02))
    assert 1 - month.total / 100 == pytest.approx(0.436)


def test_a_student_dearer_than_the_teacher_never_pays_back() -> None:
    assert payback_days(700, -5) is None
    assert describe_payback(None) == "never"
    assert break_even_coverage(120, 100, deferred_cost_ratio=1.0, audit_share=0.0) is None


def test_machines_are_bought_for_the_peak_and_at_least_one() -> None:
    assert machines_needed(1, 10, 1_000, peak_to_mean=3, utilisation=0.6) == 1
    busy = machines_needed(100_000_000, 200, 5_000, peak_to_mean=3, utilisation=0.6)
    assert busy == 8  # 7,610 tokens/s on average, 22,831 at the peak, 3,000 usable a machine
    assert hosted_month(0.5, busy) == pytest.approx(0.5 * 730 * 8)


@given(coverage=st.floats(0, 1), teacher=st.floats(1, 1e6), share=st.floats(0.01, 0.9))
def test_the_gateway_breaks_even_at_the_break_even_coverage(coverage: float, teacher: float, share: float) -> None:
    student = teacher * share
    edge = break_even_coverage(student, teacher, deferred_cost_ratio=1.0, audit_share=0.0)
    assert edge is not None
    cheaper = Month(student, teacher * teacher_share(coverage)).total <= teacher * (1 + 1e-9)
    assert cheaper == (coverage >= edge - 1e-9)
