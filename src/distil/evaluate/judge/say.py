"""The judge's result in words: no win rate without its n and its gaps, no conclusion from judgments that are worth nothing."""

from __future__ import annotations

from distil.evaluate.judge.health import Position
from distil.judging.orders import ALPHA
from distil.runs.schemas.interval import Interval
from distil.runs.schemas.judge import JudgeReplies, JudgeSummary

LEAST_READ = 0.8
"""Share of the pairs that has to be read before anything is concluded: what is missing is not missing at random."""
NOTHING = "these judgments say nothing about quality"


def concluded(
    summary: JudgeSummary, placed: Position | None = None, *, flat: bool = False, confidence: float = 0.95
) -> JudgeSummary:
    """The summary with `usable`, `why_not`, `sentence` and `details`. flat: a rubric's scores are all the same."""
    why_not = _why_not(summary, placed, flat)
    return summary.model_copy(
        update={
            "usable": why_not is None,
            "why_not": why_not,
            "sentence": _sentence(summary, why_not, confidence),
            "details": _details(summary, confidence),
        }
    )


def _why_not(summary: JudgeSummary, placed: Position | None, flat: bool) -> str | None:
    if summary.read < LEAST_READ * summary.pairs or not summary.read:
        return f"only {summary.read:,} of {summary.pairs:,} pairs were read"
    if summary.mode == "rubric":
        return "the judge gives every answer the same score" if flat else None
    return None if placed is None else placed.agreed.why_not()


def _sentence(summary: JudgeSummary, why_not: str | None, confidence: float) -> str:
    head = f"The judge ({summary.model}) read {summary.read:,} of {summary.pairs:,} pairs{gaps(summary.replies)}"
    if why_not is not None:
        if why_not.startswith("only"):
            return f"{head}: no conclusion is drawn."
        return f"{head}. No conclusion is drawn: {why_not}, so {NOTHING}."
    if summary.rubric is not None:
        scores = summary.rubric
        return (
            f"{head}. By the rubric the student scores {scores.student.mean:.3f} and the teacher {scores.teacher.mean:.3f}, a "
            f"difference of {scores.difference.mean:+.3f}{_span(scores.difference, confidence, signed=True)}: "
            f"{_conclusion(scores.difference, 0.0)}."
        )
    if summary.win_rate is None:
        return f"{head}: no conclusion is drawn."
    return (
        f"{head}. The student wins {summary.win_rate.mean:.1%} of them{_span(summary.win_rate, confidence)}, counting ties and "
        f"disagreements between the orders one half: {_conclusion(summary.win_rate, 0.5)}."
    )


def _conclusion(interval: Interval, even: float) -> str:
    if interval.low is not None and interval.low > even:
        return "better than the teacher"
    if interval.high is not None and interval.high < even:
        return "worse than the teacher"
    return "no difference to the teacher is shown"


def _span(interval: Interval, confidence: float, *, signed: bool = False) -> str:
    if interval.low is None or interval.high is None:
        return ""
    low, high = (f"{bound:+.3f}" if signed else f"{bound:.1%}" for bound in (interval.low, interval.high))
    return f" ({confidence:.0%} interval {low} to {high})"


def gaps(replies: JudgeReplies) -> str:
    """` (57% of its replies unreadable, 3% refused)`: what is missing, largest first; empty when nothing is."""
    words = {
        "unreadable": replies.unreadable,
        "refused": replies.refused,
        "cut off": replies.cut_off,
        "missing": replies.failed,
    }
    found = sorted(((count, word) for word, count in words.items() if count), reverse=True)
    if not found:
        return ""
    first, *rest = [f"{share(count, replies.asked)} {word}" for count, word in found]
    number, word = first.split(" ", 1)
    return f" ({', '.join([f'{number} of its replies {word}', *rest])})"


def share(count: int, total: int) -> str:
    """A whole percentage that is not 0% where there are some, nor 100% where some are left."""
    value = count / total
    if 0 < value < 0.01:
        return "<1%"
    return ">99%" if 0.99 < value < 1 else f"{value:.0%}"


def _details(summary: JudgeSummary, confidence: float) -> list[str]:
    found = []
    if summary.replies.cut_off:
        found.append(
            f"{summary.replies.cut_off:,} of its replies were cut off: raise evaluate.judge.sampling.max_tokens."
        )
    if summary.same:
        found.append(f"{summary.same:,} pairs are the same answer twice and count as ties without asking.")
    if summary.consistency is not None and summary.consistency_by_chance is not None:
        found.append(
            f"Both orders agree in {summary.consistency:.0%} of the pairs it was asked about (coin flips: "
            f"{summary.consistency_by_chance:.0%}){_first(summary, confidence)}."
        )
    if summary.repeats_disagree is not None:
        what = "answers" if summary.rubric is not None else "pairs"
        found.append(
            f"Asked {summary.repeats} times, it changed its mind on {summary.repeats_disagree:.0%} of the {what}."
        )
    if summary.longer_wins is not None:
        found.append(
            f"The longer answer won {summary.longer_wins:.0%} of the decided pairs; {_length(summary, confidence)}."
        )
    if summary.people is not None:
        found.append(_people(summary, confidence))
    return found


def _first(summary: JudgeSummary, confidence: float) -> str:
    if summary.first_slot is None or summary.first_slot_p is None:
        return ""
    first = summary.first_slot
    bias = ", a preference for a place" if summary.first_slot_p < ALPHA else ""
    return f"; {first.mean:.0%} of its decisions are for the answer shown first{_span(first, confidence)}{bias}"


def _length(summary: JudgeSummary, confidence: float) -> str:
    if summary.length_controlled is None:
        return f"the win rate at equal length {summary.length_why}"
    controlled = summary.length_controlled
    return f"at equal length the student would win {controlled.mean:.1%}{_span(controlled, confidence)}"


def _people(summary: JudgeSummary, confidence: float) -> str:
    people = summary.people
    if people is None:
        return ""
    agreed = f"{people.agreement.mean:.0%}{_span(people.agreement, confidence)}"
    text = f"People judged {people.marked:,} of these pairs too and agree with the judge in {agreed}"
    if people.corrected is None:
        return f"{text}."
    return (
        f"{text}; corrected by them the student wins {people.corrected.mean:.1%}{_span(people.corrected, confidence)}."
    )
