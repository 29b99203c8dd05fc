"""Does the student fall back on the same phrases? Its answers beside its own answers to other prompts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from distil.evaluate.metrics.table import Case, Values
from distil.evaluate.similarity import cosines
from distil.final_answer import is_label
from distil.quantities import whole_quantity
from distil.text import answer_key, parse_answer


def self_similarity(cases: Sequence[Case]) -> Values:
    """Cosine of the answer with the same model's answer to another prompt (one cycle through all); None below two answers.

    Higher than the teacher's: generic answers. It is read beside the teacher's own, since answers of one task are alike.
    """
    if len(cases) < 2:
        return [None] * len(cases)
    order = np.random.default_rng(0).permutation(len(cases))
    partner = np.empty(len(cases), dtype=np.int64)
    partner[order] = np.roll(order, 1)
    answers = [case.answer for case in cases]
    return [float(value) for value in cosines(answers, [answers[int(i)] for i in partner])]


def repeated(cases: Sequence[Case]) -> Values:
    """1 where the model's answer is not the teacher's, and also its answer to a prompt with another answer of the teacher.

    None for JSON, labels and numbers, which many prompts share. An answer that is the teacher's own never counts: else one wrong
    answer among many prompts with the same right one would count against all of them.
    """
    teachers: dict[str, set[str]] = defaultdict(set)
    for case in cases:
        if case.teacher is not None:
            teachers[_key(case)].add(answer_key(case.teacher, case.teacher_tool_calls))
    return [
        float(len(teachers[_key(case)]) > 1 and _key(case) != answer_key(case.teacher, case.teacher_tool_calls))
        if case.teacher is not None and _is_prose(case.teacher)
        else None
        for case in cases
    ]


def _key(case: Case) -> str:
    return answer_key(case.answer, case.tool_calls)


def _is_prose(text: str) -> bool:
    return bool(text.strip()) and not is_label(text) and parse_answer(text) is None and whole_quantity(text) is None
