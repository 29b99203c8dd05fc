"""What a judgment is made with, and what comes out of it."""

from __future__ import annotations

from typing import Literal, NamedTuple

from distil.calls.config import TeacherConfig
from distil.judging.prompt import DEFAULT_RUBRIC
from distil.records import Score
from distil.runs.schemas.judge import JudgeSummary

Mode = Literal["pairwise", "rubric"]


class Settings(NamedTuple):
    """The `judge` keys of the section `evaluate`."""

    judge: TeacherConfig
    mode: Mode = "pairwise"
    rubric: tuple[str, ...] = (DEFAULT_RUBRIC,)
    """Rubric mode: one text for a score of 1 to 5, or several yes/no criteria."""
    repeats: int = 1
    """How often each judgment is asked for."""
    confidence: float = 0.95

    @classmethod
    def of(
        cls, judge: TeacherConfig, *, mode: Mode, rubric: str | list[str] | None, repeats: int, confidence: float
    ) -> Settings:
        """From the config's keys; without a rubric of the user's the general one."""
        texts = [rubric or DEFAULT_RUBRIC] if rubric is None or isinstance(rubric, str) else rubric
        return cls(judge, mode, tuple(texts), repeats, confidence)


class Judged(NamedTuple):
    """The judgment, and its value for each prompt."""

    summary: JudgeSummary
    scores: list[Score]
    """pairwise: one `judge` score per pair read, 1 the student, 0 the teacher; rubric: `judge_rubric` of both models."""
    notes: tuple[str, ...] = ()
    """What a reader should know: what was not asked, and why."""

    def preferences(self) -> dict[str, float]:
        """Prompt id -> the student's value (pairwise: 1 won, 0 lost, 0.5 neither; rubric: its score)."""
        names = {"teacher"}
        return {score.prompt_id: score.value for score in self.scores if score.model not in names}
