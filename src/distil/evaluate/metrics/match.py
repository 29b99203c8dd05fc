"""Is it the same answer? Whole answers, labels and letters of a choice, against the reference or the teacher."""

from __future__ import annotations

import re
from collections.abc import Sequence

from distil.evaluate.metrics.table import Case, Values
from distil.quantities import whole_quantity
from distil.text import normalize_answer, parse_answer, same_answer

LABEL_WORDS = 5
"""An answer of up to so many words on one line, neither a number nor JSON, is a label."""
REFERENCE_WORDS = 12
"""No answer repeats a longer reference word for word, so there `accuracy` says nothing."""

_LETTER = re.compile(r"[(\[]?([A-Z])[)\].:]?")
_FIRST = re.compile(r"[\s*_`\"']*(?:\(([A-Z])\)|([A-Z])(?:[).:]|[\s*_`\"']*\Z))")
_STATED = re.compile(
    r"(?:\b(?i:answer|choice|option)\b(?: is| would be|:)?[\s:*_`\"'(\[]{0,6}|\\boxed\{(?:\\text\{)?\(?)"
    r"([A-Z])(?![\w'’])(?:(?<![AI])|(?!\s+[a-z]))"
)
_BRACKETED = re.compile(r"\(([A-Z])\)")


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


def is_label(text: str) -> bool:
    """Whether an answer is a label: a few words on one line, no number, no JSON."""
    short = text.strip()
    if not short or "\n" in short or len(short) > 80 or len(short.split()) > LABEL_WORDS:
        return False
    return parse_answer(short) is None and whole_quantity(short) is None


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
        wanted = _LETTER.fullmatch((case.reference or "").strip())
        values.append(float(chosen_letter(case.answer) == wanted[1]) if wanted else None)
    return values


def chosen_letter(answer: str) -> str | None:
    """The letter that an answer chooses: "(B)", "B.", "B) Paris", "The answer is B"; the last statement counts."""
    if first := _FIRST.match(answer):
        return first[1] or first[2]
    stated = _STATED.findall(answer) or _BRACKETED.findall(answer)
    if stated:
        return str(stated[-1])
    label = normalize_answer(answer)
    return label.upper() if len(label) == 1 and label.isalpha() else None
