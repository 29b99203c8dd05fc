"""Is it the same answer? Whole answers, labels and letters of a choice, against the reference or the teacher."""

from __future__ import annotations

from collections.abc import Sequence

from distil.evaluate.metrics.table import Case, Values
from distil.final_answer import chosen_letter, is_label, whole_letter
from distil.text import parse_answer, same_answer

REFERENCE_WORDS = 12
"""No answer repeats a longer reference word for word, so there `accuracy` says nothing."""


def exact_match(cases: Sequence[Case]) -> Values:
    """1 where the answer is the same as the teacher's (distil.text.same_answer), its tool calls included."""
    return [None if case.teacher is None else float(same_as_teacher(case, case.teacher)) for case in cases]


def same_as_teacher(case: Case, teacher: str) -> bool:
    """Whether text and tool calls are the teacher's."""
    return same_answer(case.answer, teacher, case.tool_calls, case.teacher_tool_calls)


def accuracy(cases: Sequence[Case]) -> Values:
    """1 where the answer is the reference, compared as in `exact_match`; None for references of over 12 words of prose."""
    return [float(same_answer(c.answer, c.reference or "")) if _comparable(c.reference) else None for c in cases]


def _comparable(reference: str | None) -> bool:
    if reference is None:
        return False
    return len(reference.split()) <= REFERENCE_WORDS or parse_answer(reference) is not None


def label_agreement(cases: Sequence[Case]) -> Values:
    """1 where the answer is the teacher's label; None where the teacher's answer is not a label."""
    return [
        None if case.teacher is None or not is_label(case.teacher) else float(same_as_teacher(case, case.teacher))
        for case in cases
    ]


def choice_accuracy(cases: Sequence[Case]) -> Values:
    """1 where the letter that the answer chooses is the reference's; None where the reference is not one capital letter."""
    values: Values = []
    for case in cases:
        wanted = whole_letter(case.reference)
        values.append(float(chosen_letter(case.answer) == wanted) if wanted else None)
    return values
