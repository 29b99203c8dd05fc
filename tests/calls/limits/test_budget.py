"""The dollar cap holds with hundreds of requests in flight, whatever they turn out to cost, and is used up to the last cent."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distil.calls.limits.budget import Budget
from distil.errors import BudgetReached
from tests.calls.virtual import run_virtually


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    cap=st.floats(0.01, 5.0),
    in_flight=st.integers(1, 500),
    lost_share=st.floats(0.0, 0.2),
)
def test_the_cap_is_never_passed(seed: int, cap: float, in_flight: int, lost_share: float) -> None:
    chance = random.Random(seed)
    budget = Budget(cap)
    charged = 0.0
    worst = 0.0

    async def main() -> int:
        nonlocal charged, worst
        reached = 0

        async def worker() -> None:
            nonlocal charged, worst, reached
            for _ in range(30):
                most = chance.uniform(0.001, 0.05)
                try:
                    await budget.reserve(most)
                except BudgetReached:
                    reached += 1
                    return
                real = most * chance.random()
                charged += real
                worst = max(worst, charged)
                await asyncio.sleep(chance.random())
                if chance.random() < lost_share:
                    budget.settle(most, 0.0, uncertain_usd=most)
                else:
                    budget.settle(most, real)

        await asyncio.gather(*[worker() for _ in range(in_flight)])
        return reached

    run_virtually(main())
    assert worst <= cap + 1e-9
    assert budget.spent_usd + budget.uncertain_usd <= cap + 1e-9
    assert budget.reserved_usd == pytest.approx(0.0, abs=1e-9)


def test_money_in_flight_is_spent_before_the_cap_is_reached() -> None:
    budget = Budget(1.0)
    asked = 0

    async def main() -> None:
        nonlocal asked

        async def worker() -> None:
            nonlocal asked
            while True:
                await budget.reserve(0.1)
                asked += 1
                await asyncio.sleep(1)
                budget.settle(0.1, 0.01)

        results = await asyncio.gather(*[worker() for _ in range(50)], return_exceptions=True)
        assert all(isinstance(result, BudgetReached) for result in results)

    run_virtually(main())
    assert asked == 91, "$0.91 spent in steps of a cent; one more could cost ten"


def test_the_error_says_what_was_spent_and_what_to_type() -> None:
    budget = Budget(2.0, spent_usd=1.5, uncertain_usd=0.5)
    error = budget.reached(0.01)
    assert error.exit_code == 3
    assert "$2.00" in str(error) and "$1.50 was" in str(error) and "$0.50 more" in str(error)
    assert "--set collect.budget_usd=4.00" in str(error)
    assert "collect.budget_usd=3.00`" in str(Budget(0.5, spent_usd=1.5).reached(0.01)), "a cap below what is spent"
    assert "$0.00060 is" in str(Budget(0.0006).reached(0.0001)) and "usd=0.0016`" in str(Budget(0.0006).reached(0.0001))


def test_without_a_cap_it_only_counts() -> None:
    async def main() -> None:
        budget = Budget(None)
        for _ in range(10):
            await budget.reserve(100.0)
        budget.settle(1000.0, 3.0)
        assert budget.spent_usd == 3.0 and budget.left_usd == float("inf")

    run_virtually(main())


def test_a_waiter_that_is_cancelled_leaves_the_line() -> None:
    async def main() -> None:
        budget = Budget(1.0)
        await budget.reserve(0.9)
        waiting = asyncio.create_task(budget.reserve(0.5))
        behind = asyncio.create_task(budget.reserve(0.1))
        await asyncio.sleep(0.1)
        waiting.cancel()
        await behind
        assert budget.reserved_usd == pytest.approx(1.0)

    run_virtually(main())
