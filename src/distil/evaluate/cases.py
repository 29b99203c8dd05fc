"""What a metric looks at: one answer beside the teacher's and, where there is one, the right answer.

Not a metric: those are in metrics.py and similarity.py.
"""

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    """One answer to judge."""

    prompt: str
    """All turns that were shown to the model, joined."""
    answer: str
    """The model's answer."""
    teacher: str | None
    """The teacher's answer; None when the answer is the teacher's own."""
    reference: str | None
    """The right answer, where the user has one."""
    finish_reason: str = "stop"
    """stop | length."""
