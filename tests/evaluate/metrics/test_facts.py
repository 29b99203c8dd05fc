"""Numbers and names of its own, and numbers that contradict."""

from __future__ import annotations

import random

import pytest

from distil.evaluate.metrics import Case, facts, polarity


def case(answer: str, teacher: str | None = None, prompt: str = "", reference: str | None = None) -> Case:
    return Case(prompt, answer, teacher, reference)


@pytest.mark.parametrize(
    ("answer", "teacher", "prompt", "new"),
    [
        ("It costs 20.", "It costs 15.", "order 4711", 1),
        ("Order 4711 costs 15.00", "It costs 15.", "order 4711", 0),
        ("no numbers", "15", "", 0),
        ("-5", "5", "", 1),
        ("1,250.50", "1250.5", "", 0),
        ("take 2", "take two", "", 0),
        ("1. salt\n2. egg", "salt, egg", "", 0),
        ("8 g", "8 mg", "", 1),
        ("1 kg", "1000 g", "", 0),
        ("8 mg", "8", "", 0),
        ("8", "8 mg", "", 0),
        ("60%", "0.6", "", 0),
        ("$5", "5 dollars", "", 0),
        ("€5", "5 dollars", "", 1),
        ("2026-05-01", "May 1, 2026", "", 0),
        ("5 hours", "5 days", "", 1),
        ("two ways", "many ways", "", 0),
    ],
)
def test_numbers_of_its_own(answer: str, teacher: str, prompt: str, new: float) -> None:
    assert facts.number_mismatch([case(answer, teacher, prompt)]) == [new]
    assert facts.number_mismatch([case(answer, "none", prompt, reference=teacher)]) == [new]
    assert facts.number_mismatch([case(answer)]) == [None]


@pytest.mark.parametrize(
    ("answer", "teacher", "changed"),
    [
        ("8 tablets", "13 tablets", 1),
        ("8 tablets of 789 mg", "789 tablets of 8 mg", 1),
        ("May 3", "on May 5", 1),
        ("42", "43", 1),
        ("8 mg", "8 g", 1),
        ("8 tablets", "8 tablets, or 9 pills", 0),
        ("3 eggs and 2 eggs", "2 eggs", 0),
        ("8 tablets", "5 eggs", 0),
        ("none", "5 eggs", 0),
        ("x", "no number", None),
        ("2 eggs", "two eggs", 0),
        ("1 kg", "1000 g", 0),
        ("1. egg", "5 eggs", 0),
    ],
)
def test_numbers_that_contradict_the_teacher(answer: str, teacher: str, changed: float | None) -> None:
    assert facts.changed_numbers([case(answer, teacher)]) == [changed]


@pytest.mark.parametrize(
    ("answer", "new"),
    [
        ("Please call our agent Monica today.", 1),
        ("Please wait.", 0),
        ("Ask Paul today, or Paul's boss.", 0),
        ("We like Americans.", 0),
        ("# How to Make Bread\n- Salt is good", 0),
        ("The Best Of All Worlds", 0),
        ("Yes. Then go", 0),
        ('{"who": "Monica"}', None),
        ("the town of São Tomé", 1),
        ("", 0),
    ],
)
def test_names_of_its_own(answer: str, new: float | None) -> None:
    assert facts.new_names([case(answer, "Paul lives in America", "who?")]) == [new]
    assert facts.new_names([case(answer, '{"a": 1}'), case(answer)]) == [None, None]


def test_near_copies_are_caught_and_true_copies_are_not() -> None:
    """220 answers of the same words: every number another, every yes a no, every mg a g (the case that similarity passes)."""
    generator = random.Random(0)
    names = ("number_mismatch", "changed_numbers", "reversed")
    caught = {kind: dict.fromkeys(names, 0.0) for kind in ("copy", "numbers", "reversed", "units")}
    for row in range(220):
        tablets, dose, safe = generator.randint(2, 12), generator.randint(100, 900), generator.random() < 0.5
        teacher = _advice(safe, tablets, dose, "mg")
        answers = {
            "copy": teacher,
            "numbers": _advice(safe, tablets + generator.randint(1, 9), 3 * dose + 7, "mg"),
            "reversed": _advice(not safe, tablets, dose, "mg"),
            "units": _advice(safe, tablets, dose, "g"),
        }
        for kind, answer in answers.items():
            rows = [case(answer, teacher, f"May patient A{row:03} have it? (form {row + 5000})")]
            values = facts.number_mismatch(rows), facts.changed_numbers(rows), polarity.reversed_answers(rows)
            for name, (value,) in zip(names, values, strict=True):
                caught[kind][name] += (value or 0.0) / 220
    assert caught["copy"] == dict.fromkeys(names, 0.0)
    assert min(caught["numbers"]["number_mismatch"], caught["numbers"]["changed_numbers"]) > 0.99
    assert caught["reversed"]["reversed"] > 0.99 and caught["reversed"]["number_mismatch"] == 0.0
    assert min(caught["units"]["number_mismatch"], caught["units"]["changed_numbers"]) > 0.99


def _advice(safe: bool, tablets: int, dose: int, unit: str) -> str:
    start = "Yes, it is safe" if safe else "No, it is not safe"
    return f"{start} for this patient. The daily dose is {tablets} tablets of {dose} {unit}, with water."
