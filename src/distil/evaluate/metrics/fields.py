"""Are the fields of a JSON answer right? Each by its type (distil.fields), against the reference or the teacher."""

from __future__ import annotations

from collections.abc import Sequence

from distil.evaluate.metrics.table import Case, Values
from distil.fields import field_share


def field_accuracy(cases: Sequence[Case]) -> Values:
    """Share of the reference's fields that the answer has right, invented fields counted as wrong; None without a JSON object."""
    return [field_share(case.answer, case.reference) for case in cases]


def field_agreement(cases: Sequence[Case]) -> Values:
    """As `field_accuracy`, against the teacher's answer."""
    return [field_share(case.answer, case.teacher) for case in cases]
