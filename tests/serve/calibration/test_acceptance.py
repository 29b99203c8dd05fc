"""Whether a student's answer is as good as the teacher's."""

from __future__ import annotations

import pytest

from distil.errors import UserError
from distil.serve.calibration.acceptance import Rule, bad_answers, choose_rule


def test_the_answers_choose_their_comparison() -> None:
    objects = ['{"a": 1, "b": "x"}', '{"a": 2, "b": "y"}']
    assert choose_rule(objects, None) == ("fields", 1.0)
    assert choose_rule(["card_arrival", "top up"], None) == ("label", 1.0)
    prose = ["A long sentence about the weather of today."] * 2
    assert choose_rule(prose, None) == ("prose", 0.85)
    assert bad_answers(choose_rule(objects, None), ['{"b": "X ", "a": 1}', '{"a": 2}'], objects, None) == [False, True]
    assert bad_answers(choose_rule(["yes", "no"], None), ["Yes", "yes"], ["yes", "no"], None) == [False, True]
    values = iter([0.9, 0.8])
    assert bad_answers(choose_rule(prose, None), prose, prose, lambda a, b: list(values)) == [False, True]
    with pytest.raises(UserError, match="needs a similarity"):
        bad_answers(choose_rule(prose, None), prose, prose, None)


def test_missing_and_invented_fields_both_cost() -> None:
    target = '{"a": 1, "b": 2}'
    answers = ['{"a": 1}', '{"a": 1, "b": 2, "c": 3}', "no object"]
    assert bad_answers(Rule("fields", 0.6), answers, [target] * 3, None) == [True, False, True]
    assert bad_answers(Rule("fields", 0.7), answers, [target] * 3, None) == [True, True, True]
    assert bad_answers(Rule("fields", 1.0), ["Same", "Other"], [" same"] * 2, None) == [False, True]
