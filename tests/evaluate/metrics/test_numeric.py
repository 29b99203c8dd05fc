"""The same number: by eye, and on the public solutions of two models, against the file's own marks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from distil.evaluate.metrics import Case
from distil.evaluate.metrics.numeric import numeric_accuracy, numeric_agreement

ACCURACIES = {"6b_finetuning": 21.68, "6b_verification": 39.04, "175b_finetuning": 34.72, "175b_verification": 56.25}


@pytest.mark.parametrize(
    ("answer", "reference", "value"),
    [
        ("The answer is (42).", "42", 1),
        ("42!", "42", 1),
        ("60%", "60", 1),
        ("...72, in total", "72", 1),
        ("-42", "42", 0),
        ("none", "42", 0),
        ("It costs $1,250.50", "1250.5", 1),
        ("420", "42", 0),
        ("so 7", "3 + 4 = 7\n#### 7", 1),
        ("5", "There are 5 of 6 left", None),
        ("5", "The answer is 5.", 1),
        ("5 g", "5 mg", 0),
        ("Paris", "Paris", None),
    ],
)
def test_the_result_is_compared_as_a_number(answer: str, reference: str, value: float | None) -> None:
    assert numeric_accuracy([Case("", answer, None, reference)]) == [value]
    assert numeric_agreement([Case("", answer, reference, None)]) == [value]
    assert numeric_accuracy([Case("", answer, reference, None)]) == [None]


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")[:-1]


@pytest.mark.parametrize("worked", [True, False])
def test_the_accuracies_of_gsm8k_are_those_of_its_file(worked: bool, data_dir: Callable[[str], Path]) -> None:
    rows = [json.loads(line) for line in _lines(data_dir("gsm8k/example_model_solutions.jsonl"))]
    tests = [json.loads(line) for line in _lines(data_dir("gsm8k/test.jsonl"))]
    answers = {row["question"]: row["answer"] for row in tests}
    for model, percent in ACCURACIES.items():
        cases = []
        for row in rows:
            answer = answers[row["question"]]
            reference = answer if worked else answer.rpartition("#### ")[2]
            cases.append(Case(row["question"], row[model]["solution"], None, reference))
        values = numeric_accuracy(cases)
        assert values == [float(row[model]["is_correct"]) for row in rows]
        assert round(100 * sum(filter(None, values)) / len(values), 2) == pytest.approx(percent, abs=0.011)
