"""Each metric on answers whose value can be seen by eye."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distil.errors import UserError
from distil.evaluate import metrics
from distil.evaluate.metrics import Case

words = st.lists(st.sampled_from("abcde"), max_size=30)


def case(answer: str, teacher: str | None = None, reference: str | None = None, prompt: str = "") -> Case:
    return Case(prompt, answer, teacher, reference)


def test_every_metric_can_be_imported_and_accepts_no_cases() -> None:
    for name in metrics.METRICS:
        if not name.startswith("similar"):
            assert metrics.function(name)([]) == []


def test_an_unknown_metric_is_refused_with_a_suggestion() -> None:
    with pytest.raises(UserError, match="Did you mean 'rouge_l'"):
        metrics.chosen(["rouge-l"])
    assert metrics.chosen(["rouge_l", "accuracy"]) == ["accuracy", "rouge_l"]


def test_exact_match_ignores_key_order_but_not_extra_keys() -> None:
    teacher = '{"a": 1, "b": "x"}'
    cases = [case('{"b":"X","a":1}', teacher), case('{"a":1,"b":"x","c":0}', teacher), case("A  b", "a B"), case("a")]
    assert metrics.exact_match(cases) == [1.0, 0.0, 1.0, None]


def test_fields_are_compared_with_reference_and_teacher() -> None:
    row = case('{"a": 1, "b": 2}', teacher='{"a": 1, "b": 3}', reference='{"a": 0, "b": 3}')
    assert metrics.field_accuracy([row]) == [0.0]
    assert metrics.field_agreement([row]) == [0.5]
    assert metrics.field_agreement([case('{"a": 1, "b": 3, "c": 0}', '{"a": 1, "b": 3}')]) == [pytest.approx(2 / 3)]
    assert metrics.field_accuracy([case("x", "y")]) == [None]


def test_rouge_l_is_the_f1_of_the_longest_common_subsequence() -> None:
    assert metrics.rouge_l_f1("police killed the gunman", "police kill the gunman") == pytest.approx(0.75)
    assert metrics.rouge_l_f1("", "") == 1.0
    assert metrics.rouge_l_f1("a", "") == 0.0


@given(words, words)
@settings(max_examples=100, deadline=None)
def test_the_bit_parallel_subsequence_equals_the_plain_table(left: list[str], right: list[str]) -> None:
    table = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            table[i + 1][j + 1] = table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
    assert metrics.common_subsequence(left, right) == table[-1][-1]


def test_two_answers_of_a_thousand_words_are_compared_in_no_time() -> None:
    generator = random.Random(0)
    left, right = ([generator.choice("abcdefgh") for _ in range(3000)] for _ in range(2))
    assert metrics.common_subsequence(left, right) > 1000


def test_numbers_are_read_with_separators_and_decimals() -> None:
    assert metrics.numbers("1,250.50 and 3.10, order AB-4711; 2.0 or 7") == {"1250.5", "3.1", "4711", "2", "7"}


def test_only_a_number_missing_from_the_prompt_is_a_mismatch() -> None:
    rows = [
        case("It costs 20.", "It costs 15.", prompt="order 4711"),
        case("Order 4711 costs 15.00", "It costs 15.", prompt="order 4711"),
        case("no numbers", "15"),
    ]
    assert metrics.number_mismatch(rows) == [1.0, 0.0, 0.0]


def test_unsupported_looks_at_prompt_and_reference_only() -> None:
    rows = [
        case("Call our agent Monica today.", prompt="who helps?"),
        case("Call Monica at 9.", prompt="is Monica in at 9?"),
        case("Please wait.", prompt="hello"),
        case("It is 12.", prompt="?", reference="12"),
    ]
    assert metrics.unsupported(rows) == [1.0, 0.0, 0.0, 0.0]


def test_valid_json_applies_only_where_json_is_wanted() -> None:
    rows = [case("{}", teacher="prose"), case("{", teacher='{"a": 1}'), case('{"a": 2}', reference='{"a": 1}')]
    assert metrics.valid_json(rows) == [None, 0.0, 1.0]


def test_length_and_truncation() -> None:
    rows = [case("ab", "abcd"), case("ab", " "), case("ab"), case("long " * 99, "no")]
    assert metrics.length_ratio(rows) == [0.5, None, None, 4.0]
    assert metrics.truncated([case("a")._replace(finish_reason="length"), case("a")]) == [1.0, 0.0]
