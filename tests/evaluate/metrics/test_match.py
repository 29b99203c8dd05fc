"""The same answer, label or letter."""

from __future__ import annotations

import pytest

from distil.evaluate.metrics import Case, match


def case(answer: str, teacher: str | None = None, reference: str | None = None) -> Case:
    return Case("", answer, teacher, reference)


def test_exact_match_ignores_key_order_but_not_extra_keys() -> None:
    teacher = '{"a": 1, "b": "x"}'
    cases = [case('{"b":"X","a":1}', teacher), case('{"a":1,"b":"x","c":0}', teacher), case("A  b", "a B"), case("a")]
    assert match.exact_match(cases) == [1.0, 0.0, 1.0, None]


def test_no_answer_is_expected_to_repeat_a_paragraph() -> None:
    paragraph = "word " * 13
    assert match.accuracy([case("x", reference=paragraph), case("x", reference="X."), case("x")]) == [None, 1.0, None]
    assert match.accuracy([case('{"a": "' + paragraph + '"}', reference='{"a": "' + paragraph + '"}')]) == [1.0]


def test_labels_are_compared_where_the_teacher_gave_one() -> None:
    rows = [
        case("Card arrival", "card_arrival"),
        case("top up", "card_arrival"),
        case("x", "a long answer of six words"),
        case("x"),
    ]
    assert match.label_agreement(rows) == [1.0, 0.0, None, None]
    assert match.label_agreement([case("5", "5"), case("{}", "{}"), case("a", "a\nb"), case("x", " ")]) == [None] * 4


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("(B)", "B"),
        ("B.", "B"),
        ("**B**", "B"),
        ("B) Paris", "B"),
        ("The answer is B", "B"),
        ("The answer is (B), not (C).", "B"),
        ("First A seems right, but the answer is C because of x.", "C"),
        ("Answer: D", "D"),
        (r"so \boxed{B}", "B"),
        ("b", "B"),
        ("Of these (A) is wrong and (D) right", "D"),
        ("The answer is A dog", None),
        ("I think so", None),
        ("", None),
        ("Because", None),
    ],
)
def test_the_letter_that_an_answer_chooses(answer: str, letter: str | None) -> None:
    assert match.chosen_letter(answer) == letter
    assert match.choice_accuracy([case(answer, reference="(B)")]) == [float(letter == "B")]


def test_only_a_single_letter_is_a_choice() -> None:
    assert match.choice_accuracy([case("B", reference="Berlin"), case("B"), case("B", reference="5")]) == [
        None,
        None,
        None,
    ]
