"""The few settings and notes of a stage's manifest that other packages read. Other notes are only shown to people.

A manifest holds the whole resolved section and many notes; these classes name the part that is read elsewhere, with the
default that an older manifest without the key has.
"""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from distil.records import Manifest
from distil.runs.schemas.evidence import Reason


class _Part(BaseModel):
    """A part of a mapping: other keys are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class _Settings(_Part):
    @classmethod
    def of(cls, manifest: Manifest | None) -> Self:
        """From the manifest's config; the defaults when there is no manifest."""
        return cls.model_validate(manifest.config if manifest else {})


class _Notes(_Part):
    @classmethod
    def of(cls, manifest: Manifest | None) -> Self:
        """From the manifest's notes; the defaults when there is no manifest."""
        return cls.model_validate(manifest.notes if manifest else {})


class CollectSettings(_Settings):
    """Of `distil collect`."""

    limit: int | None = None
    """Only so many prompts were sent (--limit)."""


class CurateSettings(_Settings):
    """Of `distil curate`."""

    test: int = 0
    """Test prompts that were requested."""


class CurateMasks(_Settings):
    """Of `distil curate`: what became placeholders."""

    mask: list[Literal["secrets", "personal_data"]] = []
    """Kinds of values."""


class TrainSettings(_Settings):
    """Of `distil train`."""

    target: str = "teacher"
    """teacher | reference: which answers were learned."""
    method: str | None = None
    """sft | logits | on_policy | dpo."""
    early_stopping: int | None = None
    """Not None: validation prompts chose the checkpoint."""


class EvaluateSettings(_Settings):
    """Of `distil evaluate`."""

    set_apart: dict[str, str] = {}
    """Test prompts that did not count for the verdict: field -> value."""


class CollectNotes(_Notes):
    """Of `distil collect`."""

    terms: list[str] = []
    """One line per vendor on training on its outputs."""


class CurateNotes(_Notes):
    """Of `distil curate`."""

    reasons: list[Reason] = []
    """What was dropped, corrected or suspicious, with examples."""
    max_similarity: float | None = None
    """Of the nearest pair of a training and a test prompt."""
    complete: bool = True
    """False when the judge could not be asked for all answers: the next run may get more."""


class CurateCounts(_Notes):
    """Of `distil curate`: how many answers came in, and where they went."""

    answers: int = 0
    """Answers that belong to a prompt."""
    dropped: dict[str, int] = {}
    """Filter or step -> answers."""


class TrainNotes(_Notes):
    """Of `distil train`."""

    student: dict[str, object] | None = None
    """The resolved student section."""
    teacher: str | None = None
    """The teacher, as the config names it."""
    partial: bool = False
    """A trial run with --max-steps."""
    checks: list[str] = []
    """What the proofs before the first step measured."""
    template: str | None = None
    """Hash of the chat template in model/; None in a manifest that does not say."""
    tokenizer: str | None = None
    """Hash of its tokenizer.json."""
    provider: str | None = None
    """Where it was tuned, when not here."""
    learning_rate: float | None = None
    """The peak; None in a manifest of before it could be left open."""
    chose: list[str] | None = None
    """Ids of the validation prompts by which early stopping chose the checkpoint; None in a manifest that does not say."""

    @property
    def first_loss(self) -> float | None:
        """The loss before the first step, per token, as the proofs measured it."""
        said = next((line for line in self.checks if line.startswith("the first loss is a number: ")), "")
        found = re.search(r": ([0-9.]+) per token", said)
        return float(found[1]) if found else None


class EvaluateNotes(_Notes):
    """Of `distil evaluate`."""

    answers: str | None = None
    """What --answers named, for a student that was not trained here."""
    conditions: str | None = None
    """Hash of the teachers, the base model and where the answers come from: settings outside of the evaluate section."""
    complete: bool = True
    """False when a model could not be asked for all it was to be asked: the next run may get more."""
    test_set: str | None = None
    """Hash of the test prompts."""
    students_looked_at: int = 0
    """Different students that had been evaluated on this test set, this one included: what the verdict was corrected for."""
    planned: bool = False
    """A look of `distil until`, whose budget took the place of the caps in the config."""


class CostNotes(_Notes):
    """Of `distil cost`."""

    student: str | None = None
    """Whose bill it is."""
