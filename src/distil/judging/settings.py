"""What a judge is asked with: the model, one of two ways of asking, and the rubric."""

from __future__ import annotations

from typing import Literal, NamedTuple

from distil.calls.config import TeacherConfig
from distil.judging.prompt import DEFAULT_RUBRIC

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
