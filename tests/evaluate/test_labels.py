"""The report on labels: against scikit-learn, for whole answers and for fields, and where there are no labels."""

from __future__ import annotations

import json
import random

import pytest
from sklearn.metrics import precision_recall_fscore_support

from distil.evaluate.labels import MISSING, NO_JSON, OTHER, label_reports
from distil.records import Example, Message, Prediction
from distil.runs.schemas.labels import LabelReport


def example(number: int, answer: str, reference: str | None = None) -> Example:
    messages = [Message(role="user", content=str(number)), Message(role="assistant", content=answer)]
    return Example(
        id=f"e{number}", prompt_id=f"p{number}", answer_id=None, messages=messages, reference=reference, split="test"
    )


def said(texts: list[str], model: str = "sft") -> list[Prediction]:
    return [
        Prediction(id=f"{model}{i}", prompt_id=f"p{i}", model=model, text=text, finish_reason="stop", output_tokens=1)
        for i, text in enumerate(texts)
    ]


def reports(targets: list[str], answers: list[str]) -> list[LabelReport]:
    return label_reports([example(i, target) for i, target in enumerate(targets)], {"sft": said(answers)})


def test_the_figures_are_those_of_scikit_learn() -> None:
    generator = random.Random(0)
    labels = ["refund", "billing", "delivery", "cancel"]
    targets = [generator.choice(labels) for _ in range(300)]
    answers = [target if generator.random() < 0.7 else generator.choice([*labels, "made up"]) for target in targets]
    (found,) = reports(targets, answers)
    expected = precision_recall_fscore_support(
        targets, answers, labels=[row.label for row in found.labels], zero_division=0
    )
    got = [[getattr(row, name) for row in found.labels] for name in ("precision", "recall", "f1", "support")]
    for ours, theirs in zip(got, expected, strict=True):
        assert ours == pytest.approx(list(theirs))
    assert found.macro_f1 == pytest.approx(sum(expected[2]) / 4) and found.n == 300
    assert found.accuracy == sum(a == t for a, t in zip(answers, targets, strict=True)) / 300
    assert found.invented == {"made up": answers.count("made up")}
    assert sum(c.count for c in found.confusions) == sum(a != t for a, t in zip(answers, targets, strict=True))


def test_the_most_frequent_confusions_come_first() -> None:
    targets = ["card_arrival"] * 4 + ["top up"] * 4
    answers = [
        "Card arrival.",
        "top up",
        "top up",
        "a long sentence and not a label",
        "top up",
        "Top Up",
        "card arrival",
        "top up",
    ]
    (found,) = reports(targets, answers)
    assert [(c.target, c.answer, c.count) for c in found.confusions] == [
        ("card_arrival", "top up", 2),
        ("card_arrival", OTHER, 1),
        ("top up", "card_arrival", 1),
    ]
    assert found.accuracy == 0.5 and found.invented == {} and found.against == "teacher"


def test_every_field_with_few_values_has_a_report() -> None:
    rows = [
        {
            "intent": ("refund", "billing")[i % 2],
            "urgent": i % 3 == 0,
            "order": str(4000 + i),
            "a": {"b": "x" if i % 5 else "y"},
        }
        for i in range(30)
    ]
    answers = [json.dumps(row) for row in rows]
    answers[0] = "no json"
    answers[1] = json.dumps({"intent": "refund", "urgent": False})
    found = {report.field: report for report in reports([json.dumps(row) for row in rows], answers)}
    assert set(found) == {"intent", "urgent", "a.b"}
    assert [(c.target, c.answer) for c in found["intent"].confusions] == [("refund", NO_JSON), ("billing", "refund")]
    assert ("x", MISSING) in [(c.target, c.answer) for c in found["a.b"].confusions]
    assert {row.label for row in found["urgent"].labels} == {"true", "false"}


def test_the_reference_is_the_target_where_there_is_one() -> None:
    examples = [example(i, "no", reference=("yes", "no")[i % 2]) for i in range(10)]
    found = label_reports(examples, {"teacher": said(["no"] * 10, "teacher"), "sft": said(["yes"] * 10)})
    assert [(report.model, report.accuracy, report.against) for report in found] == [
        ("teacher", 0.5, "reference"),
        ("sft", 0.5, "reference"),
    ]


@pytest.mark.parametrize(
    "targets",
    [
        ["a sentence that is longer than a label"] * 10,
        ["yes"] * 10,
        [f"name {i}" for i in range(30)],
        [str(i) for i in range(13)] * 3,
        [""] * 10,
    ],
)
def test_what_is_no_label_has_no_report(targets: list[str]) -> None:
    assert reports(targets, targets) == []
