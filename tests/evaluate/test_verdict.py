"""The decision on made-up values: each way to ship and each way not to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from distil.evaluate import aggregate
from distil.evaluate.scoring import Table
from distil.evaluate.verdict import Goals, decide
from distil.records import Prediction
from distil.runs.schemas.summary import ShipDecision

GOALS = Goals(similarity=0.85, margin=0.05, least_retention=0.8)


def decision(
    n: int = 300, *, student: float, base: float | None = 0.1, ceiling: float = 0.97, **means: float
) -> ShipDecision:
    """A task with references: shares of right answers, and normal similarities around their means."""
    rng = np.random.default_rng(0)
    teacher = means.get("teacher", 0.97)
    similar = means.get("similar", 0.93)
    luck = rng.uniform(size=n)  # one hardness per prompt, so that the models are paired
    table: Table = {}
    for model, share, likeness in (("me", student, similar), ("teacher", teacher, None), ("ceiling", teacher, ceiling)):
        table[model] = {"field_accuracy": _named(luck < share)}
        if likeness is not None:
            table[model]["similarity"] = _named(np.clip(rng.normal(likeness, 0.04, n), 0, 1))
    if base is not None:
        table["base"] = {"field_accuracy": _named(rng.uniform(size=n) < base)}
    groups = {f"p{i}": None for i in range(n)}
    others = [model for model in table if model != "me"]
    return decide(
        table,
        "me",
        "field_accuracy",
        groups,
        GOALS,
        differences=aggregate.differences(table, "me", others, groups, 0.95),
        retention=aggregate.retentions(table, "me", groups, 0.95, 0),
    )


def _named(values: Any) -> dict[str, float]:
    return {f"p{i}": float(value) for i, value in enumerate(values)}


def test_a_student_that_is_shown_to_be_as_good_ships() -> None:
    verdict = decision(student=0.96)
    assert verdict.decision == "SHIP"
    assert verdict.sentence.startswith("fields right ")
    assert "300 test prompts" in verdict.sentence


def test_a_useful_but_unproven_student_ships_with_a_fallback() -> None:
    verdict = decision(student=0.90)
    assert verdict.decision == "SHIP WITH FALLBACK"
    assert "5 points are allowed" in verdict.sentence


def test_few_prompts_are_no_proof_of_equality_and_are_named() -> None:
    verdict = decision(60, student=0.93)
    assert verdict.decision == "SHIP WITH FALLBACK"
    assert "200 or more are advised" in verdict.sentence
    assert verdict.needed_prompts is not None


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ({"student": 0.6}, "surely less than the least of 80.0%"),
        ({"student": 0.95, "base": 0.95}, "no better than the base model"),
        ({"student": 0.96, "similar": 0.7}, "below the goal of 0.85"),
        ({"student": 0.96, "n": 20}, "too few to decide"),
    ],
)
def test_a_plain_failure_does_not_ship(case: dict[str, float], reason: str) -> None:
    verdict = decision(**case)  # type: ignore[arg-type]
    assert verdict.decision == "DO NOT SHIP"
    assert reason in verdict.sentence


def test_the_goal_is_lowered_to_the_ceiling() -> None:
    verdict = decision(student=0.96, similar=0.80, ceiling=0.78)
    assert verdict.decision == "SHIP"
    assert any("lowered from 0.85" in reason for reason in verdict.reasons)


def test_the_confidence_curve_serves_the_surest_first() -> None:
    rows = [
        Prediction(
            id=f"i{i}",
            prompt_id=f"p{i}",
            model="me",
            text="",
            finish_reason="stop",
            output_tokens=1,
            token_logprobs=[-i],
        )
        for i in range(20)
    ]
    right = {f"p{i}": float(i < 10) for i in range(20)}
    table: Table = {"me": {"accuracy": right}, "teacher": {"accuracy": dict.fromkeys(right, 1.0)}}
    curve = aggregate.confidence_curve(table, "me", "accuracy", rows)
    assert [p.served for p in curve][:10] == [1.0] * 10
    assert (curve[-1].served, curve[-1].together) == (0.5, 0.5)
    assert max(p.together or 0 for p in curve) == 1.0
    assert aggregate.confidence_curve(table, "me", "accuracy", rows[:5]) == []


def test_without_a_base_and_a_ceiling_the_rest_still_decides() -> None:
    assert decision(student=0.96, base=None).decision == "SHIP"
