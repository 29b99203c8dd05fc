"""Public reports of answers that are compared wrongly: fences, compatibility characters, numbers, doubled keys, equal pairs."""

from __future__ import annotations

import pytest

from distil.curate.evidence.corpus import Pair, describe_corpus
from distil.curate.evidence.requirements import json_form
from distil.evaluate.metrics.fields import field_accuracy
from distil.evaluate.metrics.form import valid_json
from distil.evaluate.metrics.match import accuracy
from distil.evaluate.metrics.numeric import numeric_accuracy
from distil.evaluate.metrics.table import Case
from distil.evaluate.stats.means import wilson
from distil.evaluate.stats.pairs import non_inferiority
from distil.records import Answer, Example, Message, Prompt, Sampling
from distil.runs.schemas.decision import MIN_PROMPTS
from distil.serve.calibration.acceptance import Given, bad_answers, choose_rule
from distil.text import same_answer

FENCED = '```json\n{"intent": "refund", "urgent": true}\n```'
BARE = '{"urgent": true, "intent": "refund"}'


def case(answer: str, reference: str, **fields: object) -> Case:
    return Case("prompt", answer, None, reference, **fields)  # type: ignore[arg-type]


def answer_of(text: str) -> tuple[Prompt, Answer]:
    prompt = Prompt.make([Message(role="user", content="Which intent?")], response_format={"type": "json_object"})
    fields = {"teacher": "openai/x", "sampling": Sampling(), "finish_reason": "stop", "call_id": "call_0"}
    return prompt, Answer.model_validate({"id": "a", "prompt_id": prompt.id, "text": text} | fields)


def is_json_to_all(text: str) -> set[bool]:
    """What the stages say: curate's filter, evaluate's metrics, calibration's rule."""
    prompt, answer = answer_of(text)
    wanted = [Case("p", text, None, BARE, response_format={"type": "json_object"})]
    row = Example.of(prompt, answer_of(BARE)[1], "validation")
    good = bad_answers(choose_rule([row]), [Given(row, text)], None) == [False]
    kept = json_form(prompt, answer, describe_corpus([Pair(prompt, answer)])) is None
    return {kept, valid_json(wanted) == [1.0], field_accuracy(wanted) == [1.0], good}


@pytest.mark.parametrize("text", [FENCED, BARE, FENCED.replace("```json", "```"), f"\n{FENCED}  \n"])
def test_a_fenced_object_is_one_to_every_stage(text: str) -> None:
    """public-bugs 17: deepeval #3166 (curate, evaluate and calibrate had three opinions)."""
    assert is_json_to_all(text) == {True}


@pytest.mark.parametrize(
    "text", [f"Sure! {BARE}", "refund", "", '{"intent": "refund"', '{"intent": "refund", "intent": "x"}']
)
def test_what_is_no_object_is_none_to_every_stage(text: str) -> None:
    """Doubled keys too: one program takes the first and another the last (public-bugs, further shapes)."""
    assert is_json_to_all(text) == {False}


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("café", "cafe\u0301"),
        ("ＡＢＣ", "ABC"),
        ("ﬁne", "fine"),
        ("１２３", "123"),
        ("“yes”", '"yes"'),
        ("Straße", "STRASSE"),
    ],
)
def test_compatibility_characters_are_folded_on_both_sides(answer: str, reference: str) -> None:
    """public-bugs 18: deepeval #3164 (NFC against NFD, and full width, were unequal)."""
    assert same_answer(answer, reference) and same_answer(reference, answer)
    assert accuracy([case(answer, reference)]) == accuracy([case(reference, answer)]) == [1.0]
    wrapped = [case(f'{{"name": "{answer}"}}', f'{{"name": "{reference}"}}')] if '"' not in reference else []
    assert field_accuracy(wrapped) == [1.0] * len(wrapped)


@pytest.mark.parametrize(
    ("answer", "reference", "right"),
    [
        ("1.250,50", "1250.50", 1.0),
        ("Total: 1.250,50 €", "1250.5", 1.0),
        ("1,250.50", "1250.50", 1.0),
        ("1.250,50", "1.25", 0.0),
        ("-5", "5", 0.0),
        ("−5", "-5", 1.0),
        ("−5", "5", 0.0),
        ("The answer is −5.", "-5", 1.0),
        ("5", "minus 5", 0.0),
    ],
)
def test_numbers_keep_their_sign_and_their_separators(answer: str, reference: str, right: float) -> None:
    """`1.250,50` was misread and -5 was 5 (public-bugs, further shapes)."""
    assert numeric_accuracy([case(answer, reference)]) == [right]


def test_thirty_equal_pairs_prove_little() -> None:
    """public-bugs 16: lm-eval #4070 (30 pairs, all equal, gave the interval [0, 0]); the rule of three says about 10%."""
    shortfall = non_inferiority([1.0] * 30, [1.0] * 30, margin=0.05).shortfall
    assert 0.08 < shortfall.high < 0.13 and not non_inferiority([1.0] * 30, [1.0] * 30, margin=0.05).passed
    assert 0.87 < wilson(30, 30).low < 0.92 and MIN_PROMPTS >= 30
