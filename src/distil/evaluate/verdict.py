"""SHIP, SHIP WITH FALLBACK, NOT DECIDED or DO NOT SHIP: the rules, each with its number, in one place.

SHIP needs proof: on the deciding metric the student is shown to be less than `margin` worse than the teacher, and no guard is
broken more often than the teacher breaks it. DO NOT SHIP needs proof as well. Missing evidence is NOT DECIDED, with what to type.
Pure functions; the tests behind the numbers are in evidence.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from distil.evaluate.evidence import MIN_COVERAGE, Goals
from distil.runs.schemas.decision import MIN_PROMPTS, Deciding, Decision, Guard, ShipDecision, correction
from distil.runs.schemas.interval import Difference, Interval
from distil.runs.schemas.judge import JudgeSummary

KINDS = ("failed", "missing", "gap", "open", "good", "note")


class Case(NamedTuple):
    """Everything that the rules look at."""

    student: str
    prompts: int
    """Test prompts that count."""
    independent: int
    """Groups among them, prompts alone counted as one each."""
    metric: str | None
    """The metric that would decide; None when none covers enough prompts."""
    prose: bool
    """The teacher's answers are texts without one right wording."""
    degenerate: float | None
    """The value that everybody has on that metric, if it is always 0 or always 1."""
    deciding: Deciding | None
    """Its test; None where there is nothing to compare with."""
    guards: Sequence[Guard]
    retention: Interval | None
    """The student's share of the teacher's quality on the deciding metric."""
    over_base: Difference | None
    """Student minus base on the deciding metric."""
    judge: JudgeSummary | None
    needed: int | None
    """Prompts that would prove the margin at the observed loss."""
    recorded: bool = False
    """The teacher is a file of answers, which nobody can ask again."""


class Finding(NamedTuple):
    """One rule's outcome."""

    kind: str
    """failed = proves DO NOT SHIP; missing = no decision without it; gap = SHIP is not proven; open = a guard that may be broken;
    good; note."""
    text: str
    step: str = ""
    """What to type about it."""
    needed: int = 0
    """Test prompts that would settle it, if more of them are what it takes."""


def decide(case: Case, goals: Goals) -> ShipDecision:
    """The decision from the evidence."""
    findings = [*_evidence(case), *_deciding(case, goals), *_guards(case), *_base(case), *_judge(case)]
    by_kind = {kind: [f for f in findings if f.kind == kind] for kind in KINDS}
    failed, missing, gaps, opened, good, notes = by_kind.values()
    decision: Decision
    if failed:
        decision, first = "DO NOT SHIP", failed
    elif missing or opened:
        decision, first = "NOT DECIDED", [*missing, *gaps, *opened]
    elif gaps:
        decision, first = ("SHIP WITH FALLBACK" if _worth_a_fallback(case, goals) else "NOT DECIDED"), gaps
    else:
        decision, first = "SHIP", good
    why = " and ".join(finding.text for finding in first[: 2 if decision == "SHIP" else 1])
    steps = _steps(case, [*missing, *gaps, *opened])
    if decision == "SHIP WITH FALLBACK":
        steps = [f"distil calibrate {case.student}", *steps]
    if decision == "DO NOT SHIP":
        steps = ["distil doctor"]
    return ShipDecision(
        decision=decision,
        sentence=f"{why}, on {_prompts(case)}.",
        n=case.prompts,
        reasons=[finding.text for finding in (*failed, *missing, *gaps, *opened, *good, *notes)],
        next_steps=steps,
        needed_prompts=case.needed,
    )


def _steps(case: Case, findings: Sequence[Finding]) -> list[str]:
    """What to type. Where several rules need more test prompts, one number settles them all."""
    needed = max((finding.needed for finding in findings), default=0)
    steps = [_more(case, needed) if finding.needed else finding.step for finding in findings]
    return list(dict.fromkeys(step for step in steps if step))


def _needs_prompts(case: Case, kind: str, text: str, needed: int | None) -> Finding:
    """A finding that more test prompts would settle."""
    return Finding(kind, text, _more(case, needed), needed or 0)


def _prompts(case: Case) -> str:
    independent = f" ({case.independent:,} independent groups)" if case.independent < case.prompts else ""
    return f"{case.prompts:,} test prompts{independent}"


def _evidence(case: Case) -> list[Finding]:
    """Is there anything to decide on?"""
    if case.independent < MIN_PROMPTS:
        what = "test prompts" if case.independent == case.prompts else "independent groups of test prompts"
        text = f"{case.independent} {what} are too few to decide anything ({MIN_PROMPTS} at least)"
        return [_needs_prompts(case, "missing", text, max(MIN_PROMPTS, case.needed or 200))]
    if case.metric is None:
        if case.prose:
            text = "similarity to the teacher was not measured, and nothing else can judge free text"
            return [Finding("missing", text, f"distil evaluate {case.student} --set evaluate.metrics=default")]
        text = f"no metric that can decide applies to {MIN_COVERAGE:.0%} of the prompts"
        return [Finding("missing", text, f"distil evaluate {case.student} --set evaluate.metrics=default")]
    if case.degenerate is not None:
        label = case.deciding.label if case.deciding else case.metric
        text = f"{label} is {case.degenerate:.0%} for every model, even for answers to other prompts: it measures nothing here"
        return [Finding("missing", text, _better_metric(case))]
    if case.deciding is None:
        text = "the teacher was not asked a second time, so how much good answers differ is unknown"
        return [Finding("missing", text, _second_answers(case))]
    if case.deciding.coverage < MIN_COVERAGE:
        text = f"{case.deciding.label} could be compared on only {case.deciding.coverage:.0%} of the prompts"
        return [Finding("missing", text, f"distil evaluate {case.student}")]
    return []


def _second_answers(case: Case) -> str:
    if case.recorded:
        return (
            "Add a second answer of the teacher to each prompt in its recorded file, or let a judge decide: "
            f"distil evaluate {case.student} --set evaluate.judge.model=anthropic/claude-sonnet-4-5"
        )
    return f"distil evaluate {case.student} --set evaluate.ceiling=true"


def _better_metric(case: Case) -> str:
    return (
        "Check that the references are what an answer would say. References that are numbers are compared as numbers "
        "(numeric_accuracy), short ones as text; for others set a metric of your own: evaluate.metrics: [default, mine.py:right]."
        if case.degenerate == 0
        else "Use test prompts that have different right answers."
    )


def _deciding(case: Case, goals: Goals) -> list[Finding]:
    test = case.deciding
    if test is None or case.metric is None or case.degenerate is not None or case.independent < MIN_PROMPTS:
        return []
    versus = "the teacher's" if test.versus == "teacher" else "the teacher's second answers,"
    means = f"{test.label} {_value(test, test.student.mean)} against {versus} {_value(test, test.other.mean)}"
    if test.metric == "judge":
        means = f"{test.label} in {test.student.mean:.1%} of the pairs, where 50% is equal"
    low, high = test.shortfall.low, test.shortfall.high
    words = correction(goals.comparisons, planned=goals.planned)
    corrected = f" ({words})" if words else ""
    if low is None or high is None or math.isnan(high):
        text = f"{means}; too few independent groups for an interval"
        return [_needs_prompts(case, "missing", text, case.needed)]
    if test.proven:
        found = [Finding("good", f"{means}, at most {_gap(test, high)} worse{corrected}")]
        if high < 0 and test.versus == "teacher":
            found = [Finding("good", f"{means}: better than the teacher by at least {_gap(test, -high)}{corrected}")]
        return found
    if case.retention is not None and case.retention.high is not None and case.retention.high < goals.least_retention:
        kept = f"keeps {case.retention.mean:.1%} of the teacher's quality ({_percents(case.retention)})"
        return [Finding("failed", f"{means}: {kept}, surely less than the least of {goals.least_retention:.0%}")]
    if test.exceeded:
        text = f"{means}: at least {_gap(test, low)} worse, where {_gap(test, test.margin)} are allowed{corrected}"
        return [Finding("failed" if case.retention is None else "gap", text)]
    text = (
        f"{means}; up to {_gap(test, high)} worse is possible, where {_gap(test, test.margin)} are allowed{corrected}"
    )
    return [_needs_prompts(case, "gap", text, case.needed)]


def _guards(case: Case) -> list[Finding]:
    findings = []
    for guard in case.guards:
        rates = f"{guard.label} in {guard.student.mean:.1%} of the answers, {_whose(guard)} {guard.other.mean:.1%}"
        if guard.outcome == "broken":
            findings.append(Finding("failed", f"{rates}: surely more than {100 * guard.margin:g} points more"))
        elif guard.outcome == "open":
            possible = (
                ""
                if guard.shortfall.high is None
                else f" up to {100 * guard.shortfall.high:.1f} points more is possible,"
            )
            text = f"{rates};{possible} {100 * guard.margin:g} points are allowed"
            findings.append(_open_guard(case, guard, text))
    held = [guard.label for guard in case.guards if guard.outcome == "held"]
    if held and len(held) == len(case.guards):
        findings.append(Finding("good", f"all {len(held)} guards hold"))
        findings.append(Finding("good", f"shown to be no more frequent than the teacher's: {', '.join(held)}"))
    return findings


def _open_guard(case: Case, guard: Guard, text: str) -> Finding:
    if guard.versus == "teacher" and guard.other.mean == 0 and case.deciding is None:
        return Finding("open", text, _second_answers(case))
    if guard.needed_prompts is not None:
        return _needs_prompts(case, "open", text, guard.needed_prompts)
    return Finding("open", text, "`distil doctor` says what helps against these answers.")


def _whose(guard: Guard) -> str:
    return "the teacher's" if guard.versus == "teacher" else "the teacher's second answers'"


def _base(case: Case) -> list[Finding]:
    """Only where the margin is not proven does it matter whether training helped."""
    row = case.over_base
    if row is None or row.difference.low is None or row.difference.high is None:
        return []
    measured = f"{row.difference.mean:+.3f} ({row.difference.low:+.3f} to {row.difference.high:+.3f})"
    if row.difference.low > 0:
        return [Finding("good", f"better than the base model before distillation: {measured}")]
    if case.deciding is not None and case.deciding.proven:
        return [Finding("good", f"the base model before distillation is as good: {measured}")]
    if row.difference.high < 0:
        return [Finding("failed", f"worse than the base model before distillation: {measured}")]
    return [Finding("gap", f"not shown to be better than the base model before distillation: {measured}")]


def _judge(case: Case) -> list[Finding]:
    """A judge that decides is in the deciding test; one that can't be used is named."""
    if case.judge is None or case.metric == "judge" or case.judge.usable:
        return []
    return [Finding("note", f"the judge was left out: {case.judge.why_not}")]


def _worth_a_fallback(case: Case, goals: Goals) -> bool:
    """Shown to keep enough of the teacher's quality, and to be better than before: then unsure answers can go to the teacher."""
    kept, row = case.retention, case.over_base
    enough = kept is not None and kept.low is not None and kept.low >= goals.least_retention
    improved = row is None or row.difference.low is None or row.difference.low > 0
    return enough and improved


def _more(case: Case, needed: int | None) -> str:
    """How many further prompts, and how to get them."""
    if needed is None:
        return "No number of test prompts would prove the margin at this loss: more training data, or a larger student."
    if needed <= case.prompts:
        return ""
    more = needed - case.prompts
    return (
        f"about {more:,} further test prompts would settle it (80% power at the observed loss): add them, or "
        f"`distil prompts expand --count {more}`, then `distil collect` and `distil curate --set curate.test={needed}`"
    )


def _value(test: Deciding, value: float) -> str:
    return f"{value:.3f}" if test.metric == "similarity" else f"{value:.1%}"


def _gap(test: Deciding, value: float) -> str:
    return f"{value:.3f}" if test.metric == "similarity" else f"{100 * value:.1f} points"


def _percents(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return "no interval"
    return f"{interval.low:.1%} to {interval.high:.1%}"
