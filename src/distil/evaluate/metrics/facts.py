"""Facts of its own: numbers and names that are in neither prompt, teacher's answer nor reference, and numbers that contradict.

0/1 per answer, lower is better. How often a good answer has them depends on the task, so read them against the teacher's second
answer. The rules are in distil/facts.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from distil import facts
from distil.evaluate.metrics.table import Case, Values
from distil.text import parse_answer


def number_mismatch(cases: Sequence[Case]) -> Values:
    """1 where the answer has a number that is in neither the prompt, the teacher's answer nor the reference.

    Sign and unit count: 5 is not -5, 8 g is not 8 mg (but 1 kg is 1000 g). The numbers of list items and steps do not count,
    `two` is 2, and spelled numbers are not held against the answer.
    """
    return [
        None if case.teacher is None else float(bool(facts.new_numbers(case.answer, _sources(case)))) for case in cases
    ]


def changed_numbers(cases: Sequence[Case]) -> Values:
    """1 where answer and teacher give different numbers for the same thing; None where the teacher's answer has no number."""
    values: Values = []
    for case in cases:
        changed = facts.numbers_contradict(case.answer, case.teacher) if case.teacher else None
        values.append(None if changed is None else float(changed))
    return values


def new_names(cases: Sequence[Case]) -> Values:
    """1 where the answer has a name that is in neither the prompt, the teacher's answer nor the reference; None for JSON.

    A name is a capitalized word inside a sentence. Starts of sentences and list items, headings and titles are none.
    """
    return [
        None
        if case.teacher is None or parse_answer(case.teacher) is not None or parse_answer(case.answer) is not None
        else float(bool(facts.new_names(case.answer, _sources(case))))
        for case in cases
    ]


def _sources(case: Case) -> list[str]:
    return [case.prompt, case.teacher or "", case.reference or ""]
