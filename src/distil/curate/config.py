"""The `curate` section of distil.yaml. Not the filters themselves: filters.py."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from distil.runs.section import Section


class CurateConfig(Section):
    """What is kept, and which side of the split it lies on."""

    filters: Literal["default"] | list[str] = "default"
    """Filters that drop answers, by name.

    default = truncated, empty, refusal, repetition, wrong_script, invalid_json, secrets. personal_data is one more.
    """
    near_duplicates: float | None = Field(default=0.85, ge=0.3, le=1.0)
    """Jaccard similarity of character 5-grams from which two texts count as the same; null = only equal texts do."""
    validation: float = Field(default=0.2, ge=0, lt=1)
    """Share of what is not test that becomes validation; prompts that the file itself marks as validation take their place."""
    test: int = Field(default=200, ge=0)
    """Prompts held out for the evaluation; prompts that the file itself marks as test take their place."""
    choose: Literal["first", "agreement", "score"] = "first"
    """Which of several answers is trained on: the first teacher's first, the one that most agree with, or the best score."""
    seed: int = 0
    """Another seed gives another split."""
