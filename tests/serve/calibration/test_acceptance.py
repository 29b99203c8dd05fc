"""Whether a student's answer is bad: what decides, and how it is compared."""

from __future__ import annotations

import pytest

from distil.errors import UserError
from distil.ids import content_id
from distil.records import Example, Message
from distil.serve.calibration.acceptance import Given, Rule, bad_answers, choose_rule

CALL = {"id": "1", "type": "function", "function": {"name": "refund", "arguments": '{"order": 1}'}}
ALIKE = Rule("similarity", "prose", 0.85)


def example(answer: str, *, asked: str = "?", reference: str | None = None, **turn: object) -> Example:
    turns = [Message(role="user", content=asked), Message(role="assistant", content=answer, **turn)]  # type: ignore[arg-type]
    id_ = content_id("example", [asked, answer])
    return Example(id=id_, prompt_id=id_, answer_id="a", messages=turns, split="validation", reference=reference)


def bad(rule: Rule, answer: str, target: Example, alike: float | None = None, **given: object) -> bool | None:
    similarity = None if alike is None else (lambda a, b: [alike] * len(a))
    return bad_answers(rule, [Given(target, answer, **given)], similarity)[0]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        (['{"a": 1, "b": "x"}', '{"a": 2, "b": "y"}'], "fields"),
        (["card_arrival", "top up"], "label"),
        (["She has 4 left and sells 2, 4-2=2\nA: 2", "The total is 3*4 = <<3*4=12>>12 feet.\n#### 12"], "number"),
        (["(B)", "The answer is C."], "letter"),
        (["A long sentence about the weather of today.", "Another one about what tomorrow may bring."], "prose"),
    ],
)
def test_the_answers_choose_their_comparison(answers: list[str], kind: str) -> None:
    rule = choose_rule([example(answer) for answer in answers])
    assert (rule.by, rule.kind) == ("similarity" if kind == "prose" else "fields", kind)
    assert rule.goal == (0.85 if kind == "prose" else 1.0)
    other = choose_rule([example(answer) for answer in answers], "similarity")
    assert (other.by, other.kind) == ("similarity", "prose")


def test_a_reference_decides_before_the_teacher() -> None:
    """A student that repeats the teacher's mistake is bad, one that corrects it is not; without a reference it's no label."""
    rows = [example("So 8*2=16\nA: 16", reference="#### 18"), example("A: 3", reference="3")]
    rule = choose_rule(rows)
    assert rule.sentence() == "another number than the reference"
    assert [bad(rule, text, rows[0]) for text in ("A: 16", "9*2=18\nA: 18", "18.0", "A: -18", "eighteen")] == [
        True, False, False, True, False,
    ]  # fmt: skip
    assert bad(rule, "A: 3", example("A: 3")) is None
    assert choose_rule([*rows, example("A: 1")]).by == "fields"
    assert choose_rule([*rows, example("A: 1")], "reference").by == "reference"


def test_open_references_leave_it_to_the_teacher() -> None:
    """Unless they are asked for: then by similarity."""
    open_ended = "It usually takes two days, but longer at the weekend."
    rows = [example("In most cases it takes two days.", reference=open_ended)]
    assert choose_rule(rows).by == "similarity"
    rule = choose_rule(rows, "reference")
    assert "a similarity to the reference below 0.85" in rule.sentence()
    assert [bad(rule, "Usually two days.", rows[0], alike) for alike in (0.9, 0.8)] == [False, True]


def test_a_reference_label_may_stand_in_a_sentence() -> None:
    names = ["card_arrival", "top_up"] * 3
    rows = [example("?", asked=str(n), reference=name) for n, name in enumerate(names)]
    rule = choose_rule(rows)
    assert rule.sentence() == "another label than the reference"
    answers = ["Card_Arrival", "The intent is card_arrival.", "top_up", "card_arrival or top_up"]
    assert [bad(rule, text, rows[0]) for text in answers] == [False, False, True, True]


@pytest.mark.parametrize(
    ("answer", "target", "is_bad"),
    [
        ("The refund takes five days.", "Your refund takes 5 days.", False),
        ("The refund takes 6 days.", "The refund takes 5 days.", True),
        ("The refund of $18 takes 5 days.", "The refund takes 5 days.", True),
        ("It was written by Anna Berg in spring.", "It was written by Karl Lindt in spring.", True),
        ("You can return the opened box.", "You can't return the opened box.", True),
        ("I'm sorry, but I can't help with that.", "Open the settings and choose the tab.", True),
        ("", "Open the settings and choose the tab.", True),
    ],
)
def test_similar_answers_with_other_facts_are_bad(answer: str, target: str, is_bad: bool) -> None:
    assert bad(ALIKE, answer, example(target), 0.99) is is_bad
    assert bad(ALIKE, answer, example(target), 0.5) is True


def test_numbers_of_the_prompt_are_not_of_its_own() -> None:
    target = example("Your order is on its way.", asked="Where is order 4711, Ms Berg?")
    assert bad(ALIKE, "Dear Ms Berg, order 4711 is on its way.", target, 0.9) is False
    assert bad(ALIKE, "Dear Ms Berg, order 4712 is on its way.", target, 0.9) is True


def test_missing_and_invented_fields_both_cost() -> None:
    target = example('{"a": 1, "b": 2}')
    answers = ['{"a": 1}', '{"a": 1, "b": 2, "c": 3}', "no object"]
    assert [bad(Rule("fields", "fields", 0.6), a, target) for a in answers] == [True, False, True]
    assert [bad(Rule("fields", "fields", 0.7), a, target) for a in answers] == [True, True, True]
    whole = Rule("fields", "fields", 1.0)
    assert [bad(whole, a, example(" same")) for a in ("Same", "Other")] == [False, True]
    assert bad(whole, '{"b": 2.0, "a": 1}', target) is False


def test_tool_calls_and_cut_answers() -> None:
    called = example("", tool_calls=[CALL])
    other = CALL | {"function": {"name": "refund", "arguments": '{"order": 2}'}}
    for rule in (ALIKE, Rule("fields", "fields", 1.0)):
        given = [bad(rule, "", called, calls=[call]) for call in (CALL | {"id": "2"}, other)]
        assert given == [False, True]
        assert bad(rule, "no call", called) is True
    assert bad(Rule("fields", "label", 1.0), "yes", example("yes"), whole=False) is True


def test_what_the_prompts_do_not_have_is_refused() -> None:
    prose = [example("A long sentence about the weather of today.")]
    with pytest.raises(UserError, match="no validation prompt has a `reference`"):
        choose_rule(prose, "reference")
    with pytest.raises(UserError, match=r"serve\.bad is fields, but most of the teacher's answers are prose"):
        choose_rule(prose, "fields")
    with pytest.raises(UserError, match="needs a similarity"):
        bad(ALIKE, "Something else about the weather.", prose[0])
