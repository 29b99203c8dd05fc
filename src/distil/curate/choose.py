"""One answer per prompt: which of several teachers' or samples' answers is trained on. Called by stage.py.

The others stay in answers.jsonl, and dropped.jsonl says that they lost, so that preference pairs can be exported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from distil.curate.text import canonical_answer, jaccard, shingles
from distil.errors import UserError
from distil.records import Answer, Prompt

Judge = Callable[[Prompt, Answer], float]
"""Scores one answer to one prompt; higher is better."""


class Choice(NamedTuple):
    """The winner, and why it won."""

    answer: Answer
    reason: str


CHOICES: dict[str, Callable[[Prompt, Sequence[Answer], Judge | None], Choice]] = {
    "first": lambda prompt, answers, judge: Choice(answers[0], "first teacher, first sample"),
    "agreement": lambda prompt, answers, judge: by_agreement(answers),
    "score": lambda prompt, answers, judge: by_score(prompt, answers, judge),
}


def choose(how: str, prompt: Prompt, answers: Sequence[Answer], judge: Judge | None = None) -> Choice:
    """The answer that is trained on. `answers` come in order of preference, which decides ties. Raises UserError on `how`."""
    if how not in CHOICES:
        raise UserError(f"curate.choose: found {how!r}, expected one of {', '.join(CHOICES)}.")
    if how == "score" and judge is None:
        raise UserError(
            "curate.choose is 'score', but nothing scores the answers. Pass a judge, or set curate.choose to agreement or first."
        )
    return CHOICES[how](prompt, answers, judge)


def by_agreement(answers: Sequence[Answer]) -> Choice:
    """Majority vote on the canonical answer (JSON compared as JSON); among equals, the one most similar to all others."""
    keys = [canonical_answer(a.text) for a in answers]
    votes = Counter(keys)
    sets = [shingles(a.text) for a in answers]
    closeness = [sum(jaccard(a, b) for b in sets) for a in sets]
    best = max(range(len(answers)), key=lambda i: (votes[keys[i]], closeness[i], -i))
    return Choice(answers[best], f"agreement {votes[keys[best]]} of {len(answers)}")


def by_score(prompt: Prompt, answers: Sequence[Answer], judge: Judge | None) -> Choice:
    """The best score; the earlier answer at a tie."""
    assert judge is not None
    scores = [judge(prompt, a) for a in answers]
    best = max(range(len(answers)), key=lambda i: (scores[i], -i))
    return Choice(answers[best], f"score {scores[best]:.3g}, best of {len(answers)}")
