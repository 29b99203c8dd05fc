"""ROUGE-L, token F1 and lengths."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distil.evaluate.metrics import Case, overlap
from distil.words import token_f1_of, tokens

words = st.lists(st.sampled_from("abcde"), max_size=30)


def case(answer: str, teacher: str | None = None, reference: str | None = None) -> Case:
    return Case("", answer, teacher, reference)


ROUGE_SCORE = [  # rouge_score 0.1.2, RougeScorer(["rougeL"], use_stemmer=False), F measure
    ("police killed the gunman", "police kill the gunman", 0.75),
    ("card_arrival is late", "card arrival is late", 1.0),
    ("The U.S. paid $1,250.50!", "the us paid 1250.5", 1 / 3),
    ("a b c d", "d c b a", 0.25),
    ('{"intent": "refund", "order_id": 4711}', '{"intent": "billing", "order_id": 4711}', 0.8),
    ("It's well-known; isn't it?", "it is well known, is it not", 0.5714285714),
    ("one", "two", 0.0),
]


@pytest.mark.parametrize(("answer", "target", "value"), ROUGE_SCORE)
def test_rouge_l_equals_the_reference_package_on_ascii(answer: str, target: str, value: float) -> None:
    assert overlap.rouge_l([case(answer, target)]) == [pytest.approx(value)]


@pytest.mark.parametrize(
    ("answer", "target", "value"),
    [
        ("今天天气很好我们去公园", "今天天气很好我们去商店", 9 / 11),
        ("ฉันรักแมว", "ฉันรักหมา", 7 / 9),
        ("नमस्ते दुनिया", "नमस्ते दुनिया", 1),
        ("Grüße aus Köln", "Grüße aus Bonn", 2 / 3),
        ("", "", 1),
        ("a", "", 0),
    ],
)
def test_rouge_l_of_other_scripts(answer: str, target: str, value: float) -> None:
    assert overlap.rouge_l_f1(answer, target) == pytest.approx(value)
    assert overlap.rouge_l([case(answer)]) == [None]


@given(words, words)
@settings(max_examples=100, deadline=None)
def test_the_bit_parallel_subsequence_equals_the_plain_table(left: list[str], right: list[str]) -> None:
    table = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            table[i + 1][j + 1] = table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
    assert overlap.common_subsequence(left, right) == table[-1][-1]


def test_two_answers_of_a_thousand_words_are_compared_in_no_time() -> None:
    generator = random.Random(0)
    left, right = ([generator.choice("abcdefgh") for _ in range(3000)] for _ in range(2))
    assert overlap.common_subsequence(left, right) > 1000


def test_token_f1_is_that_of_squad() -> None:
    assert token_f1_of("The cat, sat!", "a cat sat down") == pytest.approx(0.8)
    assert token_f1_of("x x", "x") == pytest.approx(2 / 3) and token_f1_of("the", "") == 1 and token_f1_of("", "x") == 0
    assert token_f1_of("北京。", "北京") == 1
    assert overlap.token_f1([case("a cat", reference="the cat"), case("x", "x")]) == [1.0, None]


def test_words_split_at_underscores_in_any_script() -> None:
    assert tokens("card_arrival Ünï 北京 x1") == ["card", "arrival", "ünï", "北", "京", "x1"]


def test_length_beside_the_teachers() -> None:
    rows = [case("ab", "abcd"), case("ab", " "), case("ab"), case("long " * 99, "no")]
    assert overlap.length_ratio(rows) == [0.5, None, None, 4.0]
    teacher = "x" * 40
    rows = [case("x" * n, teacher) for n in (19, 20, 80, 81)] + [case("x", "x" * 39), case("x")]
    assert overlap.length_off(rows) == [1.0, 0.0, 0.0, 1.0, None, None]
