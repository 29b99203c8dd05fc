"""What the measurements of a slice mean: whether a student can take it over, why, and how many answers to collect first."""

from __future__ import annotations

from typing import NamedTuple

from distil.forecast.measure import LEAST_ROWS, SliceMeasure
from distil.forecast.result import Between, Says

WORTH = 0.01
"""A gain of quality for which twice the answers are worth collecting."""
ENOUGH = 300
"""Answers of a slice to begin with, where the log has fewer."""
MOST, SOME = 0.5, 0.1
"""Shares of a slice's requests that make it distillable, and partly so."""
LONG = 30
"""Words of a long answer, at the median."""
PLENTY = 0.95
"""Share of a slice's requests that are answered from which more answers can wait."""
LIKELY = 0.4
"""Share of whole answers told from similar requests from which a student is worth a try."""


class Judged(NamedTuple):
    """What is said of a slice."""

    says: Says
    why: str
    tried: bool
    """A student would be asked, so its share counts."""


def judge(found: SliceMeasure, requests: int, target: float) -> Judged:
    """The verdict on a slice with its reason, in words."""
    kind, answers = found.answers.kind, found.answers
    if kind == "images":
        return Judged("no", "a student that reads text can't see what is attached", False)
    if kind == "tool calls":
        return Judged("no", "its answers call tools: a wrong call acts, and the log does not show what it did", False)
    if requests < LEAST_ROWS:
        few = f"{requests:,} requests in the sample are too few ({LEAST_ROWS} are needed)"
        return Judged("cannot tell", few, False)
    if found.best is None:
        return _open_texts(found, 0.0, 0.0)
    share, quality = float(found.best.share[0]), float(found.best.quality[0])
    if answers.distinct == 1:
        return Judged("yes", "every answer is the same: no model is needed", True)
    if kind in ("prose", "code"):
        return _open_texts(found, share, quality)
    if kind == "short texts" and share < SOME:
        why = (
            f"similar requests and the prompt's own words tell {quality:.0%} of the answers, and {answers.unseen:.0%} of new "
            "ones would be new: they are worked out, not looked up"
        )
        return Judged("no" if quality < 0.5 else "cannot tell", why, False)
    what = _what(found)
    if share >= SOME:
        return Judged(
            "yes" if share >= MOST else "partly", f"{what}; {quality:.0%} are told from similar requests", True
        )
    hint = f"{what}; {quality:.0%} are told from similar requests, none surely enough for {target:.0%}"
    if quality >= LIKELY and found.answers.distinct > 1 and quality > 1.5 * found.answers.commonest:
        return Judged("likely", f"{hint}: a student does better than that, but how much has to be tried", False)
    return Judged("cannot tell", f"{hint}: a larger student or more answers may do better", False)


def _what(found: SliceMeasure) -> str:
    answers = found.answers
    if answers.kind == "JSON":
        closed = sum(target.closed for target in answers.targets)
        copied = len(answers.targets) - closed
        parts = [f"{closed} of a closed set"] * bool(closed) + [f"{copied} open, looked for in the prompt"] * bool(
            copied
        )
        return f"JSON of {len(answers.targets)} fields ({', '.join(parts)})"
    if answers.kind == "labels":
        return f"{answers.distinct:,} labels"
    return f"short answers, {answers.unseen:.0%} of them new each time"


def _open_texts(found: SliceMeasure, share: float, quality: float) -> Judged:
    kind, words = found.answers.kind, found.answers.words
    if share >= SOME:
        why = f"replies that repeat: {quality:.0%} are told from similar requests, but for names and numbers in them"
        return Judged("yes" if share >= MOST else "partly", why, True)
    repeats = "none of them repeats" if quality < 0.005 else f"{quality:.0%} are a reply that repeats and are told"
    why = (
        f"{'long ' if words > LONG else ''}open answers ({kind}, {words:,.0f} words); {repeats}, and whether another text is as "
        "good takes a judge: train on some, then distil evaluate"
    )
    return Judged("cannot tell", why, False)


def to_collect(found: SliceMeasure, judged: Judged, examples: int) -> int:
    """Further answers to collect first: none where the curve is flat, else as many again, up to four times."""
    if judged.says not in ("yes", "partly", "likely"):
        return 0
    short = max(0, ENOUGH - examples)
    if not found.curve or (found.best is not None and found.best.share[0] >= PLENTY):
        return short
    times = 1
    for ahead in found.curve:
        if ahead.gain >= WORTH * times:
            times = int(ahead.times)
    return max(short, (min(times, 4) - 1) * examples)


def between(value: float, low: float, high: float) -> Between:
    """A figure whose interval holds it."""
    return Between(value=value, low=min(low, value), high=max(high, value))
