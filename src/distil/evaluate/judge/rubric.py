"""Each answer scored alone by the user's rubric, student and teacher in the same way: values of both for every prompt.

No order can bias it, and unlike a win rate it says how good the answers are; small differences are harder to see.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from distil.calls.request import JsonObject, Reply, Request
from distil.evaluate import length, stats
from distil.evaluate.judge import health, people, say
from distil.evaluate.judge.settings import Judged
from distil.ids import content_id
from distil.judging import prompt
from distil.judging.prompt import Pair
from distil.judging.reading import Gap
from distil.judging.scores import judgment
from distil.judging.settings import Settings
from distil.records import Score
from distil.runs.schemas.interval import Interval
from distil.runs.schemas.judge import JudgeReplies, JudgeSummary, Preference, RubricSummary

METRIC = "judge_rubric"
"""Of the scores."""


def requests(pairs: Sequence[Pair], settings: Settings, schema: JsonObject | None) -> list[Request]:
    """For every repeat and pair two: the student's answer, then the teacher's."""
    questions = [prompt.scoring(pair, settings.rubric, teacher=teacher) for pair in pairs for teacher in (False, True)]
    return prompt.requests(settings.judge, questions, repeats=settings.repeats, schema=schema)


def settle(
    pairs: Sequence[Pair],
    replies: Sequence[Reply | None],
    settings: Settings,
    *,
    student: str,
    preferences: Sequence[Preference] = (),
) -> Judged:
    """The mean scores over the prompts where both answers were read, and a score per answer. replies: as `requests`."""
    sides, counts = _read_all(pairs, replies, settings)
    read = [pair for pair in pairs if all((pair.example.prompt_id, who) in sides for who in (False, True))]
    mean = {key: float(np.mean([value for value, _ in found])) for key, found in sides.items()}
    ours, theirs = ([mean[pair.example.prompt_id, who] for pair in read] for who in (False, True))
    groups = [pair.example.group for pair in read]
    scored = None
    if read:
        difference = stats.paired_difference(ours, theirs, groups, confidence=settings.confidence).estimate
        scored = RubricSummary(
            rubric=list(settings.rubric),
            student=_interval(ours, groups, settings),
            teacher=_interval(theirs, groups, settings),
            difference=stats.interval_of(difference),
        )
    better = [0.5 + 0.5 * float(np.sign(a - b)) for a, b in zip(ours, theirs, strict=True)]
    values = {pair.example.prompt_id: value for pair, value in zip(read, better, strict=True)}
    summary = JudgeSummary(
        model=settings.judge.model,
        mode="rubric",
        pairs=len(pairs),
        same=sum(pair.same for pair in pairs),
        read=len(read),
        replies=counts,
        repeats=settings.repeats,
        repeats_disagree=health.noise([[value for value, _ in found] for found in sides.values()]),
        wins=sum(value > 0.5 for value in better),
        losses=sum(value < 0.5 for value in better),
        longer_wins=length.longer_wins(better, [len(pair.student) - len(pair.teacher) for pair in read]),
        length_why="is measured in pairwise mode only",
        rubric=scored,
        people=people.summarize(pairs, values, preferences, confidence=settings.confidence, correct=False),
        usable=False,
        sentence="",
    )
    scores = [
        _score(pair, who, mean[pair.example.prompt_id, who], sides[pair.example.prompt_id, who][0][1], student)
        for pair in read
        for who in (False, True)
    ]
    flat = len({*ours, *theirs}) == 1 and any(not pair.same for pair in read) and len(read) > 1
    return Judged(say.concluded(summary, flat=flat, confidence=settings.confidence), scores)


def _interval(values: Sequence[float], groups: Sequence[object], settings: Settings) -> Interval:
    return stats.interval_of(stats.mean_interval(values, groups, confidence=settings.confidence))


def _read_all(
    pairs: Sequence[Pair], replies: Sequence[Reply | None], settings: Settings
) -> tuple[dict[tuple[str, bool], list[tuple[float, str]]], JudgeReplies]:
    """(prompt id, is the teacher's) -> (score, reason) of every repeat that was read; and what became of all replies."""
    sides: dict[tuple[str, bool], list[tuple[float, str]]] = {}
    gaps: Counter[Gap | str] = Counter()
    marks = [prompt.mark_of(pair) for pair in pairs]
    order = [(index, who) for _ in range(settings.repeats) for index in range(len(pairs)) for who in (False, True)]
    for (index, who), reply in zip(order, replies, strict=True):
        found = judgment(reply, len(settings.rubric), marks[index])
        gaps.update(["read" if isinstance(found, tuple) else found])
        if isinstance(found, tuple):
            sides.setdefault((pairs[index].example.prompt_id, who), []).append(found)
    return sides, JudgeReplies(asked=len(order), **gaps)


def _score(pair: Pair, teacher: bool, value: float, reason: str, student: str) -> Score:
    model = "teacher" if teacher else student
    return Score(
        prediction_id=content_id("prediction", [pair.example.prompt_id, model, 0]),
        prompt_id=pair.example.prompt_id,
        model=model,
        metric=METRIC,
        value=value,
        detail=reason or None,
    )
