"""Is a student's answer as good as the teacher's? The label that calibration needs: good or bad, nothing in between.

Not the evaluation: that has many metrics and intervals. Called by calibrate.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from distil.errors import UserError

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
    """Agreement from which an answer is good."""

    def sentence(self) -> str:
        """What `bad` means, for a person."""
        if self.kind == "label":
            return "another label than the teacher's"
        if self.kind == "prose":
            return f"a similarity to the teacher's answer below {self.goal:g}"
        return (
            "any field other than the teacher's" if self.goal >= 1 else f"under {self.goal:.0%} of the teacher's fields"
        )


def choose_rule(targets: Sequence[str], goal: float | None) -> Rule:
    """By what most of the teacher's answers are: JSON objects, labels of a few words, or prose."""
    if sum(_object(t) is not None for t in targets) > len(targets) / 2:
        return Rule("fields", FIELDS_GOAL if goal is None else goal)
    if sum(len(t.split()) <= LABEL_WORDS for t in targets) > len(targets) / 2:
        return Rule("label", 1.0)
    return Rule("prose", PROSE_GOAL if goal is None else goal)


def bad_answers(
    rule: Rule, answers: Sequence[str], targets: Sequence[str], similarity: Similarity | None
) -> list[bool]:
    """Per answer whether it misses the goal. Raises UserError when prose must be compared and nothing compares it."""
    if rule.kind == "prose":
        if similarity is None:
            raise UserError(
                "The answers are prose, so calibration needs a similarity, and none was given. "
                "Type: pip install 'distil[evaluate]'"
            )
        return [float(value) < rule.goal for value in similarity(answers, targets)]
    if rule.kind == "label":
        return [_plain(a) != _plain(t) for a, t in zip(answers, targets, strict=True)]
    return [field_share(a, t) < rule.goal for a, t in zip(answers, targets, strict=True)]


def field_share(answer: str, target: str) -> float:
    """Share of the fields of either object that are equal in both; a target that is no object must be equal as text."""
    wanted = _object(target)
    if wanted is None:
        return float(_plain(answer) == _plain(target))
    found = _object(answer)
    if found is None:
        return 0.0
    keys = wanted.keys() | found.keys()
    equal = sum(key in wanted and key in found and _value(wanted[key]) == _value(found[key]) for key in keys)
    return equal / len(keys) if keys else 1.0


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _value(value: Any) -> Any:
    return _plain(value) if isinstance(value, str) else value


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
