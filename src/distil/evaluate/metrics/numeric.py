"""Is it the same number? The result of a worked answer against the reference's or the teacher's."""

from __future__ import annotations

from collections.abc import Sequence

from distil.evaluate.metrics.table import Case, Values
from distil.quantities import Quantity, final_number, same_quantity, stated_number


def numeric_accuracy(cases: Sequence[Case]) -> Values:
    """1 where the answer's final number is the reference's; None where the reference is not a number.

    A reference is a number when it is nothing else ("42", "$29.00", "60%") or marks one as its result (`#### 42`, `\\boxed{42}`,
    "The answer is 42"). Of the answer the marked result counts, else its last number. Units count where both have one,
    signs always, thousands separators never; a relative difference of 1e-6 is none (distil.quantities).
    """
    return [_value(case.answer, stated_number(case.reference)) for case in cases]


def numeric_agreement(cases: Sequence[Case]) -> Values:
    """As `numeric_accuracy`, against the teacher's answer."""
    return [_value(case.answer, stated_number(case.teacher)) for case in cases]


def _value(answer: str, wanted: Quantity | None) -> float | None:
    if wanted is None:
        return None
    found = final_number(answer)
    return float(found is not None and same_quantity(found, wanted))
