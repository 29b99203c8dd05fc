"""The table of metrics: all can be called, and values are finite whatever the texts."""

from __future__ import annotations

import math

import pytest

from distil.errors import UserError
from distil.evaluate import metrics
from distil.evaluate.metrics import Case

PLAIN = [name for name in metrics.METRICS if "similar" not in name]
"""Without the metrics that need the embedding model."""


def test_every_metric_can_be_imported_and_accepts_no_cases() -> None:
    for name in PLAIN:
        assert metrics.function(name)([]) == []


def test_an_unknown_metric_is_refused_with_a_suggestion() -> None:
    with pytest.raises(UserError, match="Did you mean 'rouge_l'"):
        metrics.chosen(["rouge-l"])
    assert metrics.chosen(["rouge_l", "accuracy"]) == ["accuracy", "rouge_l"]
    assert metrics.chosen(["default"]) == metrics.chosen("default")


def test_guards_are_faults_and_what_decides_is_a_merit() -> None:
    assert metrics.GUARDS and all(metrics.METRICS[name].better == "lower" for name in metrics.GUARDS)
    assert {name for name, metric in metrics.METRICS.items() if metric.deciding} == set(metrics.DECIDING)
    assert all(metrics.METRICS[name].better == "higher" for name in metrics.DECIDING)
    assert not {"rouge_l", "exact_match"} & set(metrics.DECIDING)


RUNAWAY = ["x", "a b. ", "1. 2\n", "Not ", "- ", "`", "\n", "A, Bc ", "|\n", "yes no, "]
ODD = ["", " ", "\x00\x1b[2J", "\ud800", "\u200b", '{"a": 1e999}', "[" * 100_000, '{"a":' * 5000]
ODD += [piece * (230_000 // len(piece)) for piece in RUNAWAY]


@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
def test_odd_and_runaway_texts_get_finite_values(text: str) -> None:
    good = "Yes, it is safe to take 5 mg. Ask Paul."
    cases = [
        Case(text, text, good, None),
        Case("p", good, text, text),
        Case("p", text, text, text),
        Case("p", text, None, "5"),
    ]
    for name in PLAIN:
        for value in metrics.function(name)(cases):
            assert value is None or math.isfinite(value), name
