"""The evidence for a decision: the metric that decides, its non-inferiority test, and the same test of every guard.

Pure functions over the table of scoring.py. What follows from the evidence is in verdict.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from distil.evaluate import stats
from distil.evaluate.aggregate import Groups
from distil.evaluate.metrics import METRICS, Metric, deciding_order, guards
from distil.evaluate.scoring import Table
from distil.runs.schemas.decision import Deciding, Guard, MarginTest
from distil.runs.schemas.interval import Interval
from distil.runs.schemas.judge import JudgeSummary

MIN_COVERAGE = 0.8
"""Share of the prompts that a deciding metric has to apply to."""
SHORT_REFERENCE = 12  # words in the median: no answer repeats a paragraph
SHORT_ANSWER = 3  # words in the median: labels and numbers, not prose


class Goals(NamedTuple):
    """What was declared before looking."""

    margin: float
    """How much worse the deciding metric may be."""
    guard_margin: float
    """How much more often each guard may be broken than by the teacher."""
    least_retention: float
    """Share of the teacher's quality that is worth a fallback."""
    confidence: float = 0.95
    """Two-sided; 0.95 leaves 2.5% for a false SHIP."""
    comparisons: float = 1
    """The error is divided by this: students measured on these prompts, or what a plan of looks says."""
    planned: bool = False
    """It is one of the looks of a plan (`distil until`)."""
    later: float | None = None
    """What the error is divided by in a look at more test prompts, which is another look; None = as in this one."""


class Texts(NamedTuple):
    """What kind of task it is: medians of words; None where there are none."""

    reference_words: float | None
    answer_words: float | None


class Pairs(NamedTuple):
    """One metric of the student and of what it is compared with, turned so that higher is better."""

    metric: str
    versus: str
    student: list[float]
    other: list[float]
    groups: list[str | None]


def comparator(metric: str) -> str:
    """Who the student is compared with: the teacher, or its second answer where the metric compares with the teacher."""
    return "ceiling" if METRICS[metric].against == "teacher" else "teacher"


def deciding_metric(table: Table, student: str, prompts: int, texts: Texts) -> str | None:
    """The first metric, in the order of `deciding_order`, that fits the task and covers 80% of the prompts; None when none does.

    `accuracy` fits short references only: no answer repeats a paragraph.
    """
    for name in deciding_order():
        if name == "accuracy" and (texts.reference_words is None or texts.reference_words > SHORT_REFERENCE):
            continue
        if len(table.get(student, {}).get(name, {})) >= MIN_COVERAGE * prompts:
            return name
    return None


def degenerate(table: Table, metric: str) -> float | None:
    """0 or 1 when every answer of every model, unrelated ones included, has that value; None when the metric distinguishes."""
    values = {value for metrics in table.values() for value in metrics.get(metric, {}).values()}
    return values.pop() if len(values) == 1 and values <= {0.0, 1.0} else None


def pairs(table: Table, student: str, metric: str, groups: Groups) -> Pairs | None:
    """The values on the prompts that the other model has; a prompt that the student did not answer counts as its worst.

    None where the other model has no values.
    """
    versus = comparator(metric)
    other = table.get(versus, {}).get(metric, {})
    if not other:
        return None
    values, info = table.get(student, {}).get(metric, {}), METRICS[metric]
    ids = list(other)
    return Pairs(
        metric,
        versus,
        [upward(values[i], info) if i in values else 0.0 for i in ids],
        [upward(other[i], info) for i in ids],
        [groups[i] for i in ids],
    )


def upward(value: float, info: Metric) -> float:
    """A value turned so that more is better; shares stay shares."""
    if info.better == "lower":
        return 1.0 - value
    return 1.0 - abs(value - 1.0) if info.better == "one" else value


def deciding_test(
    table: Table, student: str, metric: str, groups: Groups, goals: Goals, *, prompts: int
) -> Deciding | None:
    """The non-inferiority test of the deciding metric; None where there is nothing to compare with."""
    found = pairs(table, student, metric, groups)
    if found is None:
        return None
    test = _margin_test(found, goals.margin, goals, faults=METRICS[metric].better == "lower")
    return Deciding(**dict(test), coverage=min(1.0, len(found.student) / prompts))


def _margin_test(found: Pairs, margin: float, goals: Goals, *, faults: bool) -> MarginTest:
    """The non-inferiority test. faults: the means are shown as shares of what is wrong, as the metric counts them."""
    result = stats.non_inferiority(
        found.student, found.other, margin, found.groups, confidence=goals.confidence, comparisons=goals.comparisons
    )

    def mean(values: Sequence[float]) -> Interval:
        counted = [1.0 - v for v in values] if faults else values
        return stats.interval_of(stats.summarize(counted, found.groups, confidence=goals.confidence))

    return MarginTest(
        metric=found.metric,
        label=METRICS[found.metric].label,
        versus=found.versus,
        student=mean(found.student),
        other=mean(found.other),
        shortfall=stats.interval_of(result.shortfall),
        margin=margin,
    )


def judge_margin(judge: JudgeSummary, goals: Goals) -> float:
    """The margin on the scale of the judge's win rate: a loss of w shows as w times `above_chance`."""
    return goals.margin * (1.0 if judge.above_chance is None else judge.above_chance)


def judge_test(
    judge: JudgeSummary, values: Mapping[str, float], groups: Groups, goals: Goals, *, prompts: int
) -> Deciding:
    """The judge's win rate as the deciding metric: the teacher against itself would win half.

    The margin shrinks with the share of the pairs that the judge tells apart: an inconsistent judge sees any two answers as
    equal.
    """
    margin = judge_margin(judge, goals)
    ids = list(values)
    labels = [groups[i] for i in ids]
    corrected = stats.corrected(goals.confidence, goals.comparisons)
    wins = stats.interval_of(stats.summarize(list(values.values()), labels, confidence=corrected))
    low, high = (None if end is None else 0.5 - end for end in (wins.high, wins.low))
    return Deciding(
        metric="judge",
        label=f"judged as good as the teacher's by {judge.model}",
        versus="teacher",
        student=stats.interval_of(stats.summarize(list(values.values()), labels, confidence=goals.confidence)),
        other=Interval(mean=0.5, low=0.5, high=0.5, n=len(ids)),
        shortfall=Interval(mean=0.5 - wins.mean, low=low, high=high, n=len(ids)),
        margin=margin,
        coverage=min(1.0, len(ids) / prompts),
    )


def guard_tests(table: Table, student: str, ids: Sequence[str], groups: Groups, goals: Goals) -> list[Guard]:
    """Every guard that applies to some answer, broken ones first.

    A rate is one of all prompts: where a guard does not apply, nothing is wrong. Against the teacher the student is compared with
    the teacher's second answer; without one, with no error at all, which can be held but never broken.
    """
    order = {"broken": 0, "open": 1, "held": 2}
    tests = [test for name in guards() if (test := _guard(table, student, name, ids, groups, goals)) is not None]
    return sorted(tests, key=lambda test: (order[test.outcome], -test.shortfall.mean))


def _guard(table: Table, student: str, name: str, ids: Sequence[str], groups: Groups, goals: Goals) -> Guard | None:
    info = METRICS[name]
    values = table.get(student, {}).get(name, {})
    if not values:
        return None
    measured = name in table.get(comparator(name), {})
    versus = comparator(name) if measured else "teacher"
    reference = table.get(versus, {}).get(name, {}) if measured else {}
    found = Pairs(
        name,
        versus,
        [upward(values[i], info) if i in values else 1.0 for i in ids],
        [upward(reference[i], info) if i in reference else 1.0 for i in ids],
        [groups[i] for i in ids],
    )
    test = _margin_test(found, goals.guard_margin, goals, faults=True)
    comparable = measured or info.against != "teacher" or not info.varies
    outcome: Literal["held", "broken", "open"]
    outcome = "held" if test.proven else "broken" if comparable and test.exceeded else "open"
    needed = needed_for(found, goals.guard_margin, goals) if outcome == "open" else None
    return Guard(**dict(test), outcome=outcome, needed_prompts=needed)


def needed_for(found: Pairs, margin: float, goals: Goals) -> int | None:
    """Prompts that would prove the margin at the observed loss, in a further look; None where no number would."""
    by = goals.comparisons if goals.later is None else goals.later
    return stats.needed_prompts(
        found.student, found.other, margin, found.groups, confidence=goals.confidence, comparisons=by
    )
