"""Student against teacher, each pair in both orders: a pair is won only when the judge says the same in both.

Everything else (a tie, a disagreement between the orders) counts one half. Repeats are averaged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from distil.calls.request import JsonObject, Reply, Request
from distil.evaluate import length, stats
from distil.evaluate.judge import health, people, say
from distil.evaluate.judge.settings import Judged
from distil.ids import content_id
from distil.judging import prompt
from distil.judging.orders import agree
from distil.judging.prompt import Pair
from distil.judging.reading import Gap, Slot, Verdict, judgment
from distil.judging.settings import Settings
from distil.records import Score
from distil.runs.schemas.judge import JudgeReplies, JudgeSummary, Preference

POINTS: Mapping[Slot, float] = {"A": 1.0, "B": 0.0, "tie": 0.5}
"""The student's points where it is shown first."""
METRIC = "judge"
"""Of the scores."""


class Outcome(NamedTuple):
    """One pair in one repeat, read in both orders."""

    forward: Verdict
    """The student was shown first."""
    backward: Verdict
    """The teacher was shown first."""

    @property
    def slots(self) -> tuple[Slot, Slot]:
        """Both verdicts."""
        return self.forward.slot, self.backward.slot

    @property
    def agreed(self) -> bool:
        """Both orders name the same answer."""
        return agree(*self.slots)

    @property
    def value(self) -> float:
        """1 student, 0 teacher, 0.5 a tie or a disagreement."""
        return POINTS[self.forward.slot] if self.agreed else 0.5


def requests(pairs: Sequence[Pair], settings: Settings, schema: JsonObject | None) -> list[Request]:
    """For every repeat and every pair of unequal answers two: first with the student as A, then with the teacher as A."""
    questions = [
        prompt.comparison(pair, swapped=swapped) for pair in pairs if not pair.same for swapped in (False, True)
    ]
    return prompt.requests(settings.judge, questions, repeats=settings.repeats, schema=schema)


def settle(
    pairs: Sequence[Pair],
    replies: Sequence[Reply | None],
    settings: Settings,
    *,
    student: str,
    preferences: Sequence[Preference] = (),
) -> Judged:
    """The judgment over all pairs that were read, and one score for each of them. replies: in the order of `requests`."""
    outcomes, counts = _outcomes(pairs, replies, settings.repeats)
    values = {
        pair.example.prompt_id: 0.5 if pair.same else float(np.mean([one.value for one in found]))
        for pair, found in zip(pairs, outcomes, strict=True)
        if pair.same or found
    }
    read = [pair for pair in pairs if pair.example.prompt_id in values]
    numbers, groups = list(values.values()), [pair.example.group for pair in read]
    longer = [len(pair.student) - len(pair.teacher) for pair in read]
    slots = [[one.slots for one in found] for found in outcomes if found]
    placed = health.position(slots, confidence=settings.confidence)
    controlled = length.length_controlled(numbers, longer, groups, confidence=settings.confidence)
    summary = JudgeSummary(
        model=settings.judge.model,
        pairs=len(pairs),
        same=sum(pair.same for pair in pairs),
        read=len(read),
        replies=counts,
        repeats=settings.repeats,
        repeats_disagree=health.noise([[one.value for one in found] for found in outcomes]),
        win_rate=stats.interval_of(stats.mean_interval(numbers, groups, confidence=settings.confidence))
        if numbers
        else None,
        wins=sum(value > 0.5 for value in numbers),
        losses=sum(value < 0.5 for value in numbers),
        consistency=placed.agreed.consistency if placed else None,
        consistency_by_chance=placed.agreed.by_chance if placed else None,
        above_chance=placed.above_chance if placed else None,
        consistency_p=placed.agreed.p if placed else None,
        first_slot=placed.first_slot if placed else None,
        first_slot_p=placed.first_slot_p if placed else None,
        longer_wins=length.longer_wins(numbers, longer),
        length_controlled=stats.interval_of(controlled.estimate) if controlled.estimate else None,
        length_why=controlled.why,
        people=people.summarize(pairs, values, preferences, confidence=settings.confidence),
        usable=False,
        sentence="",
    )
    scores = [
        _score(pair, values[pair.example.prompt_id], found, student)
        for pair, found in zip(pairs, outcomes, strict=True)
        if pair.example.prompt_id in values
    ]
    return Judged(say.concluded(summary, placed, confidence=settings.confidence), scores)


def _outcomes(
    pairs: Sequence[Pair], replies: Sequence[Reply | None], repeats: int
) -> tuple[list[list[Outcome]], JudgeReplies]:
    """Per pair what was read in both orders, in each repeat; and what became of all replies."""
    asked = [index for index, pair in enumerate(pairs) if not pair.same]
    outcomes: list[list[Outcome]] = [[] for _ in pairs]
    gaps: Counter[Gap | str] = Counter()
    marks = {index: prompt.mark_of(pairs[index]) for index in asked}
    for repeat in range(repeats):
        for place, index in enumerate(asked):
            start = 2 * (repeat * len(asked) + place)
            both = [judgment(reply, marks[index]) for reply in replies[start : start + 2]]
            gaps.update("read" if isinstance(one, Verdict) else one for one in both)
            forward, backward = both
            if isinstance(forward, Verdict) and isinstance(backward, Verdict):
                outcomes[index].append(Outcome(forward, backward))
    return outcomes, JudgeReplies(asked=2 * repeats * len(asked), **gaps)


def _score(pair: Pair, value: float, outcomes: Sequence[Outcome], student: str) -> Score:
    return Score(
        prediction_id=content_id("prediction", [pair.example.prompt_id, student, 0]),
        prompt_id=pair.example.prompt_id,
        model=student,
        metric=METRIC,
        value=value,
        detail=_detail(outcomes),
    )


def _detail(outcomes: Sequence[Outcome]) -> str:
    if not outcomes:
        return "both answers are the same"
    first = outcomes[0]
    if first.agreed:
        return first.forward.reason
    return f"the orders disagree: {first.forward.reason} | {first.backward.reason}"
