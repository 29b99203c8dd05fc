"""Each answer scored alone by the user's rubric, student and teacher in the same way: values of both for every prompt.

No order can bias it, and unlike a win rate it says how good the answers are; small differences are harder to see.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from distil.calls.request import JsonObject, Reply, Request
from distil.evaluate import length, stats
from distil.evaluate.judge import health, people, prompt, say
from distil.evaluate.judge.prompt import Pair
from distil.evaluate.judge.reading import Gap, gap_of, reason_of, refused_or_unreadable, spoken
from distil.evaluate.judge.settings import Judged, Settings
from distil.ids import content_id
from distil.records import Score
from distil.runs.schemas.interval import Interval
from distil.runs.schemas.judge import JudgeReplies, JudgeSummary, Preference, RubricSummary
from distil.text import Json, json_values, parse_object

METRIC = "judge_rubric"
"""Of the scores."""
LOWEST, HIGHEST = 1, 5
_SCORE_KEYS = ("score", "rating", "grade", "overall", "overall_score", "final_score")
_CRITERIA_KEYS = ("met", "criteria", "results", "scores", "answers", "checks")
_BRACKETS = re.compile(r"\[\[\s*(\d+(?:\.\d+)?)\s*\]\]")
_LABEL = re.compile(
    r"\b(?:score|rating|grade)[*_\"'`]*\s*(?:is|of|:|=)*[*_\"'`\s(]*"
    r"(\d+(?:\.\d+)?)(?:\s*(?:/|out of)\s*(\d+))?(?!\s*(?:-|–|to)\s*\d)",
    re.IGNORECASE,
)
_BARE = re.compile(r"[*_\s(]*(\d+(?:\.\d+)?)(?:\s*(?:/|out of)\s*(\d+))?[)*_\s.]*")
_YES: Mapping[str, bool] = {
    "yes": True,
    "true": True,
    "met": True,
    "pass": True,
    "1": True,
    "no": False,
    "false": False,
    "not met": False,
    "fail": False,
    "0": False,
}


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


def judgment(reply: Reply | None, criteria: int, mark: str | None = None) -> tuple[float, str] | Gap:
    """(score in [0, 1], reason) of a reply, or why there is none. criteria: 1 = a score of 1 to 5."""
    gap = gap_of(reply)
    if gap is not None or reply is None:
        return gap or "failed"
    found = read(reply.text, criteria, mark)
    return found if found is not None else refused_or_unreadable(reply.text)


def read(text: str, criteria: int = 1, mark: str | None = None) -> tuple[float, str] | None:
    """The last score in the reply as a share of what is possible, and its reason; None when there is none or it is outside."""
    whole = parse_object(text)
    shown = "" if whole is not None else spoken(text, mark)
    objects = [whole] if whole is not None else [value for _, _, value in json_values(shown) if isinstance(value, dict)]
    for value in reversed(objects):
        found = _criteria(value, criteria) if criteria > 1 else _number(value)
        if found is not None:
            return found, reason_of(value)
    if criteria > 1 or whole is not None:
        return None
    return _spelled(shown)


def _spelled(text: str) -> tuple[float, str] | None:
    """[[4]] (MT-Bench), `Score: 4/5`, or a bare number."""
    matches = [*_BRACKETS.finditer(text), *_LABEL.finditer(text)]
    bare = _BARE.fullmatch(text)
    match = max(matches, key=lambda one: one.end(), default=bare)
    if match is None:
        return None
    scale = match[2] if match.re.groups > 1 else None
    if scale not in (None, str(HIGHEST)):
        return None
    found = _scaled(float(match[1]))
    return None if found is None else (found, "")


def _number(value: Mapping[str, Json]) -> float | None:
    for name in _SCORE_KEYS:
        item = value.get(name)
        if isinstance(item, str) and (match := _BARE.fullmatch(item)) and match[2] in (None, str(HIGHEST)):
            item = float(match[1])
        if isinstance(item, (int, float)) and not isinstance(item, bool):
            return _scaled(item)
    return None


def _scaled(score: float) -> float | None:
    return float(score - LOWEST) / (HIGHEST - LOWEST) if LOWEST <= score <= HIGHEST else None


def _criteria(value: Mapping[str, Json], count: int) -> float | None:
    """Share of the criteria that are met; None when there is not one clear yes or no for each."""
    listed = next((value[name] for name in _CRITERIA_KEYS if isinstance(value.get(name), (list, dict))), None)
    if listed is None:
        listed = {name: item for name, item in value.items() if name.strip().isdigit()}
    if isinstance(listed, dict):
        items = [listed.get(str(number)) for number in range(1, count + 1)] if len(listed) == count else []
    else:
        items = list(listed) if isinstance(listed, list) else []
    answers = [item if isinstance(item, bool) else _YES.get(str(item).strip().casefold()) for item in items]
    met = [answer for answer in answers if answer is not None]
    return sum(met) / count if len(met) == count == len(items) else None
