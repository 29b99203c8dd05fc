"""One answer per prompt: which teacher's or sample's answer is trained on.

The others stay in answers.jsonl; dropped.jsonl records that they lost, so that preference pairs can be exported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from distil.curate.shingles import jaccard, shingles
from distil.errors import UserError
from distil.records import Answer, Prompt
from distil.text import answer_key

Judge = Callable[[Prompt, Answer], float]
"""Scores one answer to one prompt; higher is better."""


class Choice(NamedTuple):
    """The winner, and why it won."""

    answer: Answer
    reason: str


def choose(method: str, prompt: Prompt, answers: Sequence[Answer], judge: Judge | None = None) -> Choice:
    """The answer to train on. `answers` come in order of preference, which decides ties. Raises UserError on `method`."""
    if method == "first":
        return Choice(answers[0], "first teacher, first sample")
    if method == "agreement":
        return by_agreement(answers)
    if method != "score":
        raise UserError(f"curate.choose: found {method!r}, expected one of first, agreement, score.")
    if judge is None:
        raise UserError(
            "curate.choose is 'score', but nothing scores the answers. Pass a judge, or set curate.choose to agreement or first."
        )
    return by_score(prompt, answers, judge)


def by_agreement(answers: Sequence[Answer]) -> Choice:
    """Majority vote on the canonical answer (JSON compared as JSON); ties go to the answer most similar to all others."""
    keys = [answer_key(a.text, a.tool_calls) for a in answers]
    votes = Counter(keys)
    sets = [shingles(a.text) for a in answers]
    closeness = [sum(jaccard(a, b) for b in sets) for a in sets]
    best = max(range(len(answers)), key=lambda i: (votes[keys[i]], closeness[i], -i))
    return Choice(answers[best], f"agreement {votes[keys[best]]} of {len(answers)}")


def by_score(prompt: Prompt, answers: Sequence[Answer], judge: Judge) -> Choice:
    """The best score; ties go to the earlier answer."""
    scores = [judge(prompt, a) for a in answers]
    best = max(range(len(answers)), key=lambda i: (scores[i], -i))
    return Choice(answers[best], f"score {scores[best]:.3g}, best of {len(answers)}")
