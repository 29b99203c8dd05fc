"""The label that calibration needs: whether a student's answer is as good as the teacher's. Not the evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from distil.errors import UserError
from distil.fields import field_share
from distil.text import parse_object, same_answer

Similarity = Callable[[Sequence[str], Sequence[str]], Sequence[float]]
"""Semantic similarity of pairs of texts, such as distil.evaluate.similarity.cosines."""

FIELDS_GOAL = 1.0
PROSE_GOAL = 0.85
LABEL_WORDS = 5


class Rule(NamedTuple):
    """How the answers of a task are compared."""

    kind: str
    """fields | label | prose."""
    goal: float
    """An answer is good from this agreement on."""

    def sentence(self) -> str:
        """What `bad` means, for a person."""
        if self.kind == "label":
            return "another label than the teacher's"
        if self.kind == "prose":
            return f"a similarity to the teacher's answer below {self.goal:g}"
        if self.goal >= 1:
            return "any field other than the teacher's"
        return f"under {self.goal:.0%} of the teacher's fields"


def choose_rule(targets: Sequence[str], goal: float | None) -> Rule:
    """The rule for the majority of the teacher's answers: JSON objects, labels of a few words, or prose."""
    if sum(parse_object(t) is not None for t in targets) > len(targets) / 2:
        return Rule("fields", FIELDS_GOAL if goal is None else goal)
    if sum(len(t.split()) <= LABEL_WORDS for t in targets) > len(targets) / 2:
        return Rule("label", 1.0)
    return Rule("prose", PROSE_GOAL if goal is None else goal)


def bad_answers(
    rule: Rule, answers: Sequence[str], targets: Sequence[str], similarity: Similarity | None
) -> list[bool]:
    """Per answer whether it misses the goal. Raises UserError when prose must be compared without a similarity."""
    if rule.kind == "prose":
        if similarity is None:
            raise UserError(
                "The answers are prose, so calibration needs a similarity, and none was given. "
                "Type: pip install 'distil[evaluate]'"
            )
        return [float(value) < rule.goal for value in similarity(answers, targets)]
    if rule.kind == "label":
        return [not same_answer(a, t) for a, t in zip(answers, targets, strict=True)]
    return [_agreement(a, t) < rule.goal for a, t in zip(answers, targets, strict=True)]


def _agreement(answer: str, target: str) -> float:
    share = field_share(answer, target)
    return float(same_answer(answer, target)) if share is None else share
