"""Checks of the answers themselves: invented numbers, reversed answers, refusals, broken formats, cut-off answers, length.

They report the guards of the evaluation, so that the doctor and the verdict never disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from distil.doctor.evidence import Evidence
from distil.doctor.finding import Finding, Level
from distil.runs.schemas.decision import Guard
from distil.runs.schemas.summary import Summary

NOT_YET = Finding(level="unknown", seen="No student has been evaluated yet.", fix="distil evaluate")
NOT_MEASURED = Finding(level="ok", seen="This can be said of 0 of the answers: the question does not arise here.")


class Advice(NamedTuple):
    """What a broken guard means, and what to type."""

    metrics: tuple[str, ...]
    why: str
    fix: str
    """NAME is the student's name."""


MAKES_THINGS_UP = Advice(
    ("number_mismatch", "changed_numbers", "new_names", "unsupported"),
    "More weight on the labels, a lower temperature and cleaner teacher answers help.",
    "distil train --as NAME --set train.label_weight=0.5 --set train.distill_weight=0.5 --set train.temperature=1.5\n"
    "distil curate --set curate.choose=agreement   (with collect.samples of 3 or more)",
)
SAYS_THE_OPPOSITE = Advice(
    ("reversed",),
    "The student has learned the form of the answers and not the decision behind them. It needs more examples of both "
    "decisions, or a larger base model.",
    "distil prompts expand --count 500\ndistil collect\ndistil curate\ndistil train --as NAME",
)
REFUSES = Advice(
    ("refusal",),
    "It has learned refusals, of the base model or of the training data.",
    "distil curate --set curate.filters=default   (drops refusals)\ndistil train --as NAME --set train.epochs=6",
)
BREAKS_THE_FORMAT = Advice(
    ("valid_json", "bad_format", "schema_invalid", "empty"),
    "Programs that read the answers will fail. More epochs teach a format; a server can also enforce it.",
    "distil train --as NAME --set train.epochs=6",
)
DOES_NOT_STOP = Advice(
    ("truncated",),
    "It has not learned to stop (the end of the turn was not trained on), or the limit is too low.",
    "distil selfcheck\ndistil curate --set curate.filters=default   (drops cut answers)",
)
WRONG_LENGTH = Advice(
    ("length_off", "repeated"),
    "Answers far shorter or longer than the teacher's leave something out or repeat themselves.",
    "distil train --as NAME --set train.epochs=6",
)


def check(advice: Advice) -> Callable[[Evidence], list[Finding]]:
    """The check of one kind of guard, over all students."""

    def findings(evidence: Evidence) -> list[Finding]:
        found = [_finding(summary, advice) for summary in evidence.summaries.values()]
        measured = [finding for finding in found if finding is not None]
        return measured or [NOT_MEASURED if evidence.summaries else NOT_YET]

    return findings


def _finding(summary: Summary, advice: Advice) -> Finding | None:
    guards = [guard for guard in summary.guards if guard.metric in advice.metrics]
    if not guards:
        return None
    seen = f"{summary.name}: " + "; ".join(_rates(guard) for guard in guards) + "."
    level = _level(guards)
    if level == "ok":
        return Finding(level="ok", seen=seen)
    return Finding(level=level, seen=seen, why=advice.why, fix=advice.fix.replace("NAME", summary.name))


def _level(guards: Sequence[Guard]) -> Level:
    if any(guard.outcome == "broken" for guard in guards):
        return "problem"
    worse = [guard for guard in guards if guard.outcome == "open" and guard.shortfall.mean > 0]
    return "warn" if worse else "ok"


def _rates(guard: Guard) -> str:
    whose = "teacher" if guard.versus == "teacher" else "teacher's second answers"
    return f"{guard.label} {guard.student.mean:.1%} ({whose} {guard.other.mean:.1%})"
