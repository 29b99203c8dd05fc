"""Checks of the answers themselves: invented numbers, reversed answers, refusals, broken formats, cut-off answers, length.

They report the guards of the evaluation, so that the doctor and the verdict never disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from distil.doctor import cures
from distil.doctor.evidence import Evidence
from distil.doctor.finding import Cure, Finding, Level, cure, ok, unknown
from distil.runs.schemas.decision import Guard
from distil.runs.schemas.summary import Summary

NOT_YET = unknown("No student has been evaluated yet.", "distil evaluate")
NOT_MEASURED = ok("This can be said of 0 of the answers: the question does not arise here.")


class Advice(NamedTuple):
    """What a broken guard means, and its cure for a student."""

    metrics: tuple[str, ...]
    why: str
    cure: Callable[[Evidence, str], Cure]


def _no_refusals(evidence: Evidence, student: str) -> Cure:
    return cures.default_filter(evidence.config, "refusal") + cures.learn_better(evidence, student)


def _whole_answers(evidence: Evidence, student: str) -> Cure:
    checked = cure(commands=["distil selfcheck"])
    return checked + cures.default_filter(evidence.config, "truncated") + cures.train_again(evidence, student)


MAKES_THINGS_UP = Advice(
    ("number_mismatch", "changed_numbers", "new_names", "unsupported"),
    "Cleaner teacher answers help, more of them, and with distributions more weight on the labels and a lower temperature.",
    cures.closer_to_the_labels,
)
SAYS_THE_OPPOSITE = Advice(
    ("reversed",),
    "The student has learned the form of the answers and not the decision behind them. It needs more examples of both "
    "decisions, or a larger base model.",
    lambda evidence, student: cures.more_examples(evidence, 500) + cures.train_again(evidence, student),
)
REFUSES = Advice(("refusal",), "It has learned refusals, of the base model or of the training data.", _no_refusals)
BREAKS_THE_FORMAT = Advice(
    ("valid_json", "bad_format", "schema_invalid", "empty"),
    "Programs that read the answers will fail. More training teaches a format; a server can also enforce it.",
    cures.learn_better,
)
DOES_NOT_STOP = Advice(
    ("truncated",),
    "It has not learned to stop (the end of the turn was not trained on), or the limit is too low.",
    _whole_answers,
)
WRONG_LENGTH = Advice(
    ("length_off", "repeated"),
    "Answers far shorter or longer than the teacher's leave something out or repeat themselves.",
    cures.learn_better,
)


def check(advice: Advice) -> Callable[[Evidence], list[Finding]]:
    """The check of one kind of guard, over all students that learned from a teacher (of the others where there are none)."""

    def findings(evidence: Evidence) -> list[Finding]:
        found = [_finding(evidence, summary, advice) for summary in (evidence.distilled or evidence.summaries).values()]
        measured = [finding for finding in found if finding is not None]
        return measured or [NOT_MEASURED if evidence.summaries else NOT_YET]

    return findings


def _finding(evidence: Evidence, summary: Summary, advice: Advice) -> Finding | None:
    guards = [guard for guard in summary.guards if guard.metric in advice.metrics]
    if not guards:
        return None
    seen = f"{summary.name}: " + "; ".join(_rates(guard) for guard in guards) + "."
    level = _level(guards)
    if level == "ok":
        return ok(seen)
    return Finding(level=level, seen=seen, why=advice.why, cure=advice.cure(evidence, summary.name))


def _level(guards: Sequence[Guard]) -> Level:
    if any(guard.outcome == "broken" for guard in guards):
        return "problem"
    worse = [guard for guard in guards if guard.outcome == "open" and guard.shortfall.mean > 0]
    return "warn" if worse else "ok"


def _rates(guard: Guard) -> str:
    whose = "teacher" if guard.versus == "teacher" else "teacher's second answers"
    return f"{guard.label} {guard.student.mean:.1%} ({whose} {guard.other.mean:.1%})"
