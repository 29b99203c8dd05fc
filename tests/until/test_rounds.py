"""Which prompts a round asks, how many rounds the money buys, and that their looks share one error."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distil.ids import content_id
from distil.records import Message, Prompt
from distil.stats.spending import allotment, shares
from distil.until import rounds


def prompts(count: int, test: int = 0) -> list[Prompt]:
    return [
        Prompt(
            id=content_id("prompt", [number]),
            messages=[Message(role="user", content=f"question {number}")],
            split="test" if number % 5 == 0 and number < 5 * test else None,
        )
        for number in range(count)
    ]


def test_what_is_answered_comes_first_then_the_test_prompts() -> None:
    made = prompts(50, test=4)
    answered = frozenset(p.id for p in made[30:40])
    ordered = rounds.in_order(made, answered)
    assert {p.id for p in ordered[:10]} == answered and [p.split for p in ordered[10:14]] == ["test"] * 4
    some = frozenset(p.id for p in ordered[:20])  # a round that was stopped asks the same ones when it goes on
    assert {p.id for p in rounds.in_order(reversed(made), some)[:25]} == {p.id for p in ordered[:25]}


def test_the_first_round_has_room_for_the_test() -> None:
    assert rounds.first_size(prompts(2000), 0, 200) == 650  # a third of it is more than the test
    assert rounds.first_size(prompts(2000, test=100), 0, 200) == 300
    assert rounds.first_size(prompts(2000), 900, 200) == 900 and rounds.first_size(prompts(90), 0, 200) == 90


@given(st.integers(1, 5000), st.integers(1, 200_000), st.integers(0, 500), st.integers(0, 4))
def test_rounds_double_and_share_the_error(first: int, most: int, test: int, before: int) -> None:
    planned = rounds.sizes(first + test, most + test, test)
    assert 1 <= len(planned) <= rounds.MOST_ROUNDS
    assert planned[-1] == max(first, most) + test and planned[0] >= min(first, most) + test
    learning = [size - test for size in planned]
    assert all(now >= 1.9 * then - 1 for then, now in pairwise(learning))
    assert sum(rounds.shares_of(planned, test, before)) == pytest.approx(0.8 * 0.2**before)


def test_all_plans_together_stay_within_the_error() -> None:
    assert sum(allotment(before) for before in range(50)) < 1 + 1e-12
    assert shares([100, 200, 400], 0.8) == pytest.approx([0.2, 0.2, 0.4])
    for bad in ([], [100, 100], [0, 100]):
        with pytest.raises(ValueError, match="ascend"):
            shares(bad)
