"""The `evaluate` section of distil.yaml. The stage unpacks it into plain arguments."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from distil.calls.config import TeacherConfig
from distil.runs.section import Section


class EvaluateConfig(Section):
    """When the student is good enough, measured on the held-out test prompts."""

    metrics: Literal["default"] | list[str] = "default"
    """default = all that apply to the task, or a list of names (docs/metrics.md), which may hold `default` and functions of your
    own as FILE.py:FUNCTION, such as [default, mine.py:brevity]."""
    judge: TeacherConfig | None = None
    """A model that compares the student's answers with the teacher's, such as {model: anthropic/claude-sonnet-4-5}; null =
    none. Every pair is judged in both orders; a disagreement counts as a tie. Choose one of another family than the teacher."""
    judge_mode: Literal["pairwise", "rubric"] = "pairwise"
    """pairwise = which of the two answers is better; rubric = each answer is scored alone by `judge_rubric`."""
    judge_rubric: str | list[str] | None = None
    """What the judge scores by: a text (it gives 1 to 5), or a list of two or more yes/no criteria (the share met counts); null =
    a general one."""
    judge_repeats: int = Field(default=1, ge=1, le=20)
    """How often each judgment is asked for; from 2 on at the judge's temperature, which measures the judge's noise."""
    candidates: list[TeacherConfig] = Field(default_factory=list)
    """Settings of models that --answers names, such as {model: "http://gpu:8000/v1#mine", price: {input: 0, output: 0}}: price,
    limits and key. Only needed where the price table has no price."""
    baseline: bool = True
    """Also evaluate the base model before distillation (stored, and reused for other students of the same base)."""
    ceiling: bool = True
    """Collect a second answer from the teacher on the test prompts: its agreement with itself is the most a student can
    reach."""
    set_apart: dict[str, str] = Field(default_factory=dict)
    """Test prompts whose column has this value, such as {wording: unseen}, are measured and shown as a slice of their own, but
    do not count for the verdict."""
    goal_similarity: float = Field(default=0.85, ge=0, le=1)
    """The article's goal for the mean similarity to the teacher's answers. Shown, not decisive: free text is judged against the
    teacher's second answers."""
    margin: float = Field(default=0.05, gt=0, lt=1)
    """How much less accurate than the teacher the student may be (0.05 = 5 points). The verdict SHIP requires proof of this."""
    guard_margin: float = Field(default=0.1, gt=0, lt=1)
    """How much more often than the teacher the student may break a guard (new numbers or names, reversed answers, refusals,
    wrong format, cut-off answers, length): 0.1 = 10 points. SHIP requires proof of each."""
    students: int = Field(default=1, ge=1)
    """Number of students that you will compare on these test prompts. The best of several looks better than it is, so the error
    rate is divided by this, or by the number measured so far if that is larger."""
    least_retention: float = Field(default=0.8, gt=0, le=1)
    """Share of the teacher's accuracy that the student must retain; if it is certainly below this, the verdict is DO NOT
    SHIP."""
    sampling: Literal["greedy", "teacher"] = "greedy"
    """How the student answers: greedy, or with the teacher's temperature and top_p. max_tokens and stop are always the
    teacher's."""
    limit: int | None = Field(default=None, ge=1)
    """Use only the first N test prompts; null = all."""
    batch_size: int = Field(default=64, ge=1)
    """Batch size of a local model."""
    latency_prompts: int = Field(default=12, ge=0)
    """Number of prompts answered one at a time to measure latency."""
    local_teacher: str | None = None
    """A local copy of the teacher (bundled/teacher, a folder, a hub id), to measure its size and speed on this machine; null =
    only if the teacher is local."""
    budget_usd: float | None = Field(default=5.0, ge=0)
    """Dollar cap for this project on the teacher's second answers and the answers of --answers MODEL, and the same again for the
    judge; null = no cap."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Confidence level of all intervals (two-sided)."""
    seed: int = 0
    """Seed of the bootstrap, the shuffled pairs and the sampled answers."""

    @model_validator(mode="after")
    def _judge_fits(self) -> Self:
        rubric = self.judge_rubric
        if rubric is not None and self.judge_mode != "rubric":
            raise ValueError("judge_rubric is set, but judge_mode is pairwise. Set `judge_mode: rubric`, or remove it.")
        if isinstance(rubric, list) and len(rubric) < 2:
            raise ValueError(
                f"judge_rubric lists {len(rubric)} criteria, and two are the least. Write a single one as a text; the judge then "
                "scores from 1 to 5."
            )
        if rubric is not None and not all(text.strip() for text in ([rubric] if isinstance(rubric, str) else rubric)):
            raise ValueError("judge_rubric has an empty text. Say what the judge has to score, or remove the key.")
        return self
