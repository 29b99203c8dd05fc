"""Chance, place and noise: what an inconsistent judge says is discounted, and never proves that two answers are equal."""

from __future__ import annotations

import numpy as np
import pytest

from distil.evaluate.evidence import Goals, judge_test
from distil.evaluate.judge.health import noise, position
from distil.judging.orders import agree
from distil.judging.reading import Slot
from distil.runs.schemas.judge import JudgeReplies, JudgeSummary


def coin(telling: float, wins: float, n: int, seed: int, first: float = 0.5) -> list[list[tuple[Slot, Slot]]]:
    """A judge that knows better in a share of the pairs and flips a coin in the others."""
    draw = np.random.default_rng(seed)
    found: list[list[tuple[Slot, Slot]]] = []
    for _ in range(n):
        if draw.random() < telling:
            found.append([("A", "B")] if draw.random() < wins else [("B", "A")])
        else:
            forward, backward = ("A" if one < first else "B" for one in draw.random(2))
            found.append([(forward, backward)])  # type: ignore[list-item]
    return found


def test_orders_agree_on_the_same_answer_or_on_a_tie() -> None:
    assert agree("A", "B") and agree("B", "A") and agree("tie", "tie")
    assert not agree("A", "A") and not agree("A", "tie") and not agree("tie", "B")


@pytest.mark.parametrize("telling", [0.0, 0.3, 0.7, 1.0])
def test_the_share_told_apart_is_estimated(telling: float) -> None:
    found = position(coin(telling, 0.6, 20_000, 1))
    assert found is not None and found.above_chance == pytest.approx(telling, abs=0.02)
    assert found.first_slot is not None and found.first_slot.mean == pytest.approx(0.5, abs=0.01)


def test_a_preference_for_a_place_is_found_and_costs() -> None:
    found = position(coin(0.7, 0.6, 2_000, 1, first=0.9))
    assert found is not None and found.first_slot is not None and found.first_slot.low is not None
    assert found.first_slot.low > 0.5 and found.first_slot_p is not None and found.first_slot_p < 1e-6
    assert 0.4 < found.above_chance < 0.7


def test_an_unbiased_judge_is_rarely_called_biased() -> None:
    found = [position(coin(0.6, 0.7, 100, seed)) for seed in range(300)]
    called = [one.first_slot_p < 0.05 for one in found if one is not None and one.first_slot_p is not None]
    covered = [
        one.first_slot.low <= 0.5 <= one.first_slot.high
        for one in found
        if one and one.first_slot  # type: ignore[operator]
    ]
    assert len(called) == 300 and np.mean(called) <= 0.06 and np.mean(covered) >= 0.93


def test_coin_flips_with_any_habit_are_found_out() -> None:
    for first in (0.5, 0.8, 1.0):
        found = [position(coin(0.0, 0.5, 200, seed, first=first)) for seed in range(500)]
        assert np.mean([one is not None and one.agreed.telling for one in found]) <= 0.075


def test_nothing_read_has_no_position() -> None:
    assert position([]) is None and position([[], []]) is None
    ties = position([[("tie", "tie")]] * 5)
    assert ties is not None and (ties.agreed.always, ties.first_slot, ties.above_chance) == ("tie", None, 0.0)


def test_noise_counts_pairs_whose_repeats_differ() -> None:
    assert noise([[1.0, 1.0], [1.0, 0.5], [0.0]]) == 0.5
    assert noise([[1.0], [], [0.0]]) is None


def test_an_inconsistent_judge_proves_no_equality() -> None:
    """The student loses 60 to 40, and the judge tells 40% of the pairs apart: the raw win rate hides most of the loss."""
    passed, hidden = [], []
    for seed in range(100):
        orders = coin(0.4, 0.4, 2_000, seed)
        found = position(orders)
        assert found is not None
        values = {
            f"p{n}": (1.0 if forward == "A" else 0.0) if forward != backward else 0.5
            for n, [(forward, backward)] in enumerate(orders)
        }
        judge = JudgeSummary(
            model="m",
            pairs=2_000,
            read=2_000,
            replies=JudgeReplies(asked=4_000, read=4_000),
            above_chance=found.above_chance,
            usable=True,
            sentence="",
        )
        groups = dict.fromkeys(values)
        goals = Goals(margin=0.1, guard_margin=0.05, least_retention=0.8, confidence=0.95, comparisons=1)
        for kept, summary in ((passed, judge), (hidden, judge.model_copy(update={"above_chance": None}))):
            test = judge_test(summary, values, groups, goals, prompts=2_000)
            kept.append(test.shortfall.high is not None and test.shortfall.high < test.margin)
    assert np.mean(passed) <= 0.08
    assert np.mean(hidden) > 0.9
