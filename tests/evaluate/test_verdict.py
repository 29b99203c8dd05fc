"""The decision on made-up values: each way to ship, each way not to, and everything that leaves it open."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from distil.evaluate import aggregate, evidence, verdict
from distil.evaluate.evidence import Goals
from distil.evaluate.predictions import Predictions
from distil.evaluate.scoring import Scored, Table
from distil.evaluate.summarize import Measured, build_case
from distil.records import Example, Message, Prediction
from distil.runs.schemas.decision import Looks, ShipDecision
from distil.runs.schemas.interval import Interval
from distil.runs.schemas.judge import JudgeReplies, JudgeSummary

GOALS = Goals(margin=0.05, guard_margin=0.1, least_retention=0.8)
LOOKS = Looks(students=1, runs=1, corrected_for=1)


def decide(
    table: Table,
    *,
    reference: str | None = None,
    answer: str = "a sentence of several words that could be put in other words",
    goals: Goals = GOALS,
    group: Any = None,
    judge: JudgeSummary | None = None,
    judged: dict[str, float] | None = None,
    n: int | None = None,
    teacher: str = "openai/gpt-5-mini",
) -> ShipDecision:
    """The decision on a table of values of student `me`, for prompts p0, p1, ... with the given kind of answers."""
    count = n or max(len(values) for metrics in table.values() for values in metrics.values())
    examples = [_example(f"p{i}", answer, reference, group(i) if group else None, teacher) for i in range(count)]
    groups = {example.prompt_id: example.group for example in examples}
    measured = Measured(
        "me", "base", examples, Predictions({}), Scored([], table, {}, None), judge, judged or {}, LOOKS
    )
    case = build_case(measured, examples, table, groups, goals)
    others = [model for model in ("teacher", "ceiling", "base") if model in table]
    differences = aggregate.differences(table, "me", others, groups, goals.confidence)
    return verdict.decide(
        case._replace(
            retention=aggregate.retentions(table, "me", groups, goals.confidence).get(case.metric or ""),
            over_base=next((d for d in differences if d.metric == case.metric and d.versus == "base"), None),
        ),
        goals,
    )


def _example(prompt_id: str, answer: str, reference: str | None, group: str | None, teacher: str) -> Example:
    return Example(
        id=f"e-{prompt_id}",
        prompt_id=prompt_id,
        answer_id=None,
        messages=[Message(role="user", content="?"), Message(role="assistant", content=answer)],
        reference=reference,
        group=group,
        split="test",
        teacher=teacher,
    )


def named(values: Any) -> dict[str, float]:
    return {f"p{i}": float(value) for i, value in enumerate(values)}


def references(n: int = 300, *, student: float, teacher: float = 0.97, base: float | None = 0.1) -> Table:
    """A task with references: shares of right answers, the models right on the same easy prompts."""
    luck = (np.arange(n) + 0.5) / n
    table: Table = {
        "me": {"field_accuracy": named(luck < student), "truncated": named(np.zeros(n))},
        "teacher": {"field_accuracy": named(luck < teacher), "truncated": named(np.zeros(n))},
        "shuffled": {"field_accuracy": named(luck[::-1] < 0.2)},
    }
    if base is not None:
        table["base"] = {"field_accuracy": named(luck[::-1] < base)}
    return table


def prose(n: int = 400, *, loss: float, ceiling: float = 0.8, spread: float = 0.06, **guards: float) -> Table:
    """Free text: similarity to the teacher's first answer, around the ceiling less `loss`; guards at the given rates."""
    rng = np.random.default_rng(3)
    common = rng.normal(ceiling, 0.08, n)
    table: Table = {
        "me": {"similarity": named(np.clip(common - loss + rng.normal(0, spread, n), 0, 1))},
        "ceiling": {"similarity": named(np.clip(common + rng.normal(0, spread, n), 0, 1))},
        "shuffled": {"similarity": named(np.clip(rng.normal(0.2, 0.05, n), 0, 1))},
    }
    for name, rate in guards.items():
        table["me"][name] = named(np.arange(n) < rate * n)
        table["ceiling"][name] = named(np.zeros(n))
    return table


def test_a_student_shown_to_be_as_good_ships() -> None:
    result = decide(references(student=0.96))
    assert result.decision == "SHIP"
    assert result.sentence.startswith("fields right 96.0% against the teacher's 97.0%, at most ")
    assert result.sentence.endswith("on 300 test prompts.")


def test_a_student_better_than_its_teacher_is_said_to_be_so() -> None:
    result = decide(references(student=0.97, teacher=0.85))
    assert result.decision == "SHIP"
    assert "better than the teacher by at least" in result.sentence


def test_a_useful_student_below_the_margin_gets_a_fallback() -> None:
    result = decide(references(student=0.90))
    assert result.decision == "SHIP WITH FALLBACK"
    assert result.next_steps[0] == "distil calibrate me"


def test_a_student_that_keeps_too_little_does_not_ship() -> None:
    result = decide(references(student=0.6))
    assert result.decision == "DO NOT SHIP"
    assert "surely less than the least of 80%" in result.sentence


def test_a_student_worse_than_its_base_does_not_ship() -> None:
    table = references(student=0.90)
    table["base"] = {"field_accuracy": table["teacher"]["field_accuracy"]}
    result = decide(table)
    assert result.decision == "DO NOT SHIP"
    assert "worse than the base model" in result.sentence


def test_thirty_prompts_without_an_error_decide_nothing() -> None:
    """The old rule said SHIP: an interval of zero width from 30 equal values."""
    table = references(30, student=1.0, teacher=1.0)
    result = decide(table)
    assert result.decision == "NOT DECIDED"
    assert result.needed_prompts is not None and result.needed_prompts >= 72
    assert "distil prompts expand" in result.next_steps[0]


def test_too_few_prompts_decide_nothing() -> None:
    result = decide(references(20, student=0.2))
    assert result.decision == "NOT DECIDED"
    assert "too few to decide anything" in result.sentence


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_metric_that_is_the_same_for_all_decides_nothing(value: float) -> None:
    same = named([value] * 300)
    table: Table = {model: {"accuracy": same} for model in ("me", "teacher", "shuffled")}
    result = decide(table, reference="42")
    assert result.decision == "NOT DECIDED"
    assert "measures nothing here" in result.sentence


def test_right_answers_everywhere_ship_where_others_fail() -> None:
    table: Table = {model: {"accuracy": named([1.0] * 300)} for model in ("me", "teacher")}
    table["shuffled"] = {"accuracy": named([0.0] * 300)}
    assert decide(table, reference="42").decision == "SHIP"


def test_one_odd_row_does_not_choose_the_metric() -> None:
    """219 of 220 text answers are the teacher's own; one is a JSON object."""
    table = prose(220, loss=0.0, spread=0.02)
    table["me"]["field_agreement"] = table["ceiling"]["field_agreement"] = {"p0": 0.0}
    assert decide(table).decision == "SHIP"
    table["me"]["accuracy"] = table["teacher"] = {"accuracy": {}}
    few = {f"p{i}": 1.0 for i in range(12)}
    table["me"]["accuracy"], table["teacher"] = few, {"accuracy": few}
    assert decide(table, reference="yes").decision == "SHIP"


def test_prose_without_similarity_is_not_decided() -> None:
    rouge = named([0.9] * 300)
    result = decide({"me": {"rouge_l": rouge}, "ceiling": {"rouge_l": rouge}})
    assert result.decision == "NOT DECIDED"
    assert "similarity to the teacher was not measured" in result.sentence
    assert "evaluate.metrics=default" in result.next_steps[0]


def test_a_length_ratio_decides_nothing() -> None:
    ratio = named([1.0] * 300)
    assert decide({"me": {"length_ratio": ratio}, "ceiling": {"length_ratio": ratio}}).decision == "NOT DECIDED"


def test_prose_as_good_as_the_ceiling_ships_at_any_level() -> None:
    for ceiling in (0.6, 0.8, 0.86, 0.95):
        assert decide(prose(loss=0.0, ceiling=ceiling)).decision == "SHIP", ceiling


def test_prose_a_little_below_the_ceiling_ships_with_more_data() -> None:
    """The old rule: one point below the ceiling was DO NOT SHIP, the surer the more data."""
    assert decide(prose(2000, loss=0.01)).decision == "SHIP"
    assert decide(prose(2000, loss=0.03)).decision == "SHIP"
    assert decide(prose(2000, loss=0.08)).decision == "SHIP WITH FALLBACK"
    assert decide(prose(2000, loss=0.4)).decision == "DO NOT SHIP"


def test_prose_without_a_ceiling_is_not_decided() -> None:
    table = prose(loss=0.0)
    del table["ceiling"]
    result = decide(table)
    assert result.decision == "NOT DECIDED"
    assert result.next_steps == ["distil evaluate me --set evaluate.ceiling=true"]
    (step,) = decide(table, teacher="recorded/gpt4.jsonl").next_steps  # a file can't be asked again
    assert "recorded file" in step and "evaluate.judge.model" in step


def test_wrong_numbers_in_similar_texts_do_not_ship() -> None:
    """The trial's near copies: similarity 0.97 with every number changed was SHIP."""
    result = decide(prose(220, loss=-0.01, number_mismatch=1.0))
    assert result.decision == "DO NOT SHIP"
    assert "numbers" in result.sentence


def test_metrics_where_less_is_better_are_turned() -> None:
    table = references(student=0.97)
    table["me"]["truncated"] = named(np.arange(300) < 150)
    result = decide(table)
    assert result.decision == "DO NOT SHIP"
    assert "cut off in 50.0%" in result.sentence


def test_a_guard_that_is_open_leaves_it_undecided() -> None:
    table = references(student=0.97)
    table["me"]["truncated"] = named(np.arange(300) < 27)
    assert decide(table).decision == "NOT DECIDED"


def test_one_number_of_prompts_settles_everything() -> None:
    table = references(60, student=0.95)
    table["me"]["truncated"] = named([0.0] * 58 + [1.0] * 2)
    table["teacher"]["truncated"] = named([0.0] * 60)
    steps = decide(table).next_steps
    assert len([step for step in steps if "further test prompts" in step]) == 1, steps


def test_half_of_the_answers_missing_decide_nothing() -> None:
    table = references(student=0.97)
    table["me"] = {"field_accuracy": {f"p{i}": 1.0 for i in range(150)}}
    assert decide(table).decision == "NOT DECIDED"


def test_an_unanswered_prompt_counts_as_wrong() -> None:
    table = references(student=1.0, teacher=1.0, base=None)
    table["me"]["field_accuracy"] = {f"p{i}": 1.0 for i in range(250)}
    assert decide(table).decision == "SHIP WITH FALLBACK"


def test_more_students_need_more_proof() -> None:
    table = references(300, student=0.95, teacher=0.965)
    assert decide(table).decision == "SHIP"
    many = decide(table, goals=GOALS._replace(comparisons=50))
    assert many.decision == "SHIP WITH FALLBACK"
    assert "(corrected for 50 students)" in many.sentence


def test_few_groups_decide_nothing() -> None:
    table = references(200, student=0.97)
    result = decide(table, group=lambda i: f"g{i % 4}")
    assert result.decision == "NOT DECIDED"
    assert "4 independent groups" in result.sentence


def judged(n: int, share: float, *, usable: bool = True) -> dict[str, Any]:
    values = named(np.arange(n) < share * n)
    summary = JudgeSummary(
        model="judge/x",
        pairs=n,
        read=n,
        replies=JudgeReplies(asked=2 * n, read=2 * n),
        win_rate=Interval(mean=share, low=None, high=None, n=n),
        usable=usable,
        why_not=None if usable else "always the first answer",
        sentence="",
    )
    return {"judge": summary, "judged": values}


def test_a_judge_decides_prose_that_no_similarity_can() -> None:
    """A better teacher's answers differ from the teacher's; similarity alone would refuse them."""
    table = prose(loss=0.2)
    result = decide(table, **judged(400, 0.6))
    assert result.decision == "SHIP"
    assert "better than the teacher" in result.sentence
    assert decide(table, **judged(400, 0.2)).decision == "DO NOT SHIP"
    unusable = decide(table, **judged(400, 0.6, usable=False))
    assert unusable.decision != "SHIP"
    assert unusable.reasons[-1] == "the judge was left out: always the first answer"


def test_the_confidence_curve_ends_with_all_prompts() -> None:
    table: Table = {"me": {"accuracy": named([1, 1, 0, 0] * 10)}}
    rows = [
        Prediction(
            id=f"x{i}",
            prompt_id=f"p{i}",
            model="me",
            text="a",
            finish_reason="stop",
            output_tokens=1,
            token_logprobs=[-0.1 if i % 4 < 2 else -3.0],
        )
        for i in range(40)
    ]
    curve = aggregate.confidence_curve(table, "me", "accuracy", rows)
    assert curve[0].served == 1.0
    assert curve[-1].served == 0.5


def test_degenerate_looks_at_every_model() -> None:
    ones = named([1.0] * 5)
    assert evidence.degenerate({"me": {"accuracy": ones}, "teacher": {"accuracy": ones}}, "accuracy") == 1.0
    table: Table = {"me": {"accuracy": ones}, "shuffled": {"accuracy": named([0.0] * 5)}}
    assert evidence.degenerate(table, "accuracy") is None
