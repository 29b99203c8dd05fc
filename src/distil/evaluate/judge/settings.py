"""What comes out of a judgment."""

from __future__ import annotations

from typing import NamedTuple

from distil.records import Score
from distil.runs.schemas.judge import JudgeSummary


class Judged(NamedTuple):
    """The judgment, and its value for each prompt."""

    summary: JudgeSummary
    scores: list[Score]
    """pairwise: one `judge` score per pair read, 1 the student, 0 the teacher; rubric: `judge_rubric` of both models."""
    notes: tuple[str, ...] = ()
    """What was not asked or not answered, and why."""
    complete: bool = True
    """False: the next run may get more of it."""

    def preferences(self) -> dict[str, float]:
        """Prompt id -> the student's value (pairwise: 1 won, 0 lost, 0.5 neither; rubric: its score)."""
        names = {"teacher"}
        return {score.prompt_id: score.value for score in self.scores if score.model not in names}
