"""The `evaluate` section of distil.yaml. Read by distil/config.py; the stage unpacks it into plain arguments."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from distil.calls.config import TeacherConfig
from distil.runs.section import Section


class EvaluateConfig(Section):
    """How good is good enough, and how it is measured on the held-out test prompts."""

    metrics: Literal["default"] | list[str] = "default"
    """default = all that apply to the task (similarity, rouge_l, exact_match, field_accuracy, ...), or a list of names."""
    judge: TeacherConfig | None = None
    """A model that compares the student's answers with the teacher's, such as {model: anthropic/claude-sonnet-4-5}; null = none.
    Every pair is asked in both orders, and a disagreement counts as a tie."""
    baseline: bool = True
    """Also evaluate the base model as it was before distillation (kept and reused for other students of the same base)."""
    ceiling: bool = True
    """Ask the teacher a second time on the test prompts: how far it agrees with itself is the most a student can reach."""
    goal_similarity: float = Field(default=0.85, ge=0, le=1)
    """Average similarity to the teacher's answers that is good enough; lowered to the ceiling where the teacher is below it."""
    margin: float = Field(default=0.05, gt=0, lt=1)
    """How much less accurate than the teacher the student may be (0.05 = 5 points): the verdict SHIP needs proof of it."""
    least_retention: float = Field(default=0.8, gt=0, le=1)
    """Share of the teacher's accuracy that the student must keep to be of use at all; surely below it means DO NOT SHIP."""
    sampling: Literal["greedy", "teacher"] = "greedy"
    """How the student answers: greedy, or with the teacher's temperature and top_p. max_tokens and stop are the teacher's."""
    limit: int | None = Field(default=None, ge=1)
    """Only the first so many test prompts; null = all."""
    batch_size: int = Field(default=64, ge=1)
    """Prompts that a local model answers at once."""
    latency_prompts: int = Field(default=12, ge=0)
    """Prompts that are answered one at a time to measure latency."""
    local_teacher: str | None = None
    """A local copy of the teacher (bundled/teacher, a folder, a hub id) to measure its size and speed on this machine;
    null = only where the teacher is local anyway."""
    budget_usd: float | None = Field(default=5.0, ge=0)
    """Most dollars that this project may spend on the teacher's second answers, and as many on the judge; null = no cap."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Of all intervals (two-sided)."""
    seed: int = 0
    """Of the bootstrap, of the shuffled pairs and of sampled answers."""
