"""Does the answer say the opposite of the teacher's? The rules are in distil/polarity.py."""

from __future__ import annotations

from collections.abc import Sequence

from distil.evaluate.metrics.table import Case, Values
from distil.polarity import is_reversed
from distil.text import parse_answer


def reversed_answers(cases: Sequence[Case]) -> Values:
    """1 where the answer says the opposite of the teacher's; None for JSON and where the teacher said nothing.

    Either both begin with yes or no (true or false, safe or unsafe, ...) and they differ, or a sentence of the answer has at
    least 0.8 of its words in common with one of the teacher's, and exactly one of the two is negated.
    """
    return [
        None
        if case.teacher is None or not case.teacher.strip() or parse_answer(case.teacher) is not None
        else float(is_reversed(case.answer, case.teacher))
        for case in cases
    ]
