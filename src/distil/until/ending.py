"""How the rounds ended, and what would have been enough: the summary and its sentences. Pure functions over the rounds."""

from __future__ import annotations

from collections.abc import Sequence

from distil.config import Config
from distil.progress import dollars
from distil.runs.schemas.decision import DECISIONS, Decision
from distil.runs.schemas.until import Outcome, UntilPlan, UntilRound, UntilSummary
from distil.until import outlook


def rank(decision: Decision) -> int:
    """The better, the higher."""
    return DECISIONS.index(decision)


def points_of(done: Sequence[UntilRound]) -> list[outlook.Point]:
    """The rounds that a curve goes through: those whose student has left its base behind."""
    return [
        outlook.Point(found.rows, found.shortfall.mean)
        for found in done
        if found.improved and found.shortfall is not None
    ]


def goals_of(plan: UntilPlan, done: Sequence[UntilRound], confidence: float) -> list[outlook.Goal]:
    """The looks to come at which something can be proven, with the training rows that they would have."""
    now, goals = done[-1], []
    for number in range(len(done), len(plan.sizes)):
        comparisons = now.corrected_for / plan.shares[number]
        limit = outlook.bar(now.independent, now.margin, comparisons, confidence)
        if limit is not None:
            goals.append(outlook.Goal(now.rows * _learned(now, plan.sizes[number]), limit))
    return goals


def _learned(now: UntilRound, asked: int) -> float:
    """Times as many prompts to learn from as in a round, when so many are asked altogether."""
    return max(asked - now.independent, 1) / max(now.asked - now.independent, 1)


def hopeless(plan: UntilPlan, done: Sequence[UntilRound], confidence: float) -> bool:
    """Whether no look to come would be proven: nothing decides, or the rounds say so with 90% certainty."""
    if done[-1].shortfall is None:
        return True
    if plan.target != "SHIP":
        return False
    return outlook.out_of_reach(points_of(done), goals_of(plan, done, confidence), done[-1].independent)


def over(plan: UntilPlan, done: Sequence[UntilRound], confidence: float) -> bool:
    """Whether the last round is the last one."""
    last = done[-1]
    return rank(last.decision) >= rank(plan.target) or last.last or hopeless(plan, done, confidence)


def ended(plan: UntilPlan, done: Sequence[UntilRound], config: Config, spent: float, prompts: int) -> UntilSummary:
    """The summary of a plan whose last round is done. prompts: that there are altogether."""
    last = done[-1]
    outcome: Outcome
    if rank(last.decision) >= rank(plan.target):
        outcome, start = "proven", f"{last.decision}, with {last.asked:,} answers for {dollars(spent)}: {last.sentence}"
    elif last.shortfall is None:
        outcome, start = "undecidable", f"No number of answers decides this: {last.sentence}"
    elif last.last:
        outcome = "not proven"
        start = f"{plan.target} is not proven with {last.asked:,} answers for {dollars(spent)}: {last.sentence}"
    else:
        outcome = "out of reach"
        start = (
            f"{plan.target} is not reachable for {dollars(plan.budget_usd)}, with 90% certainty: {last.asked:,} answers for "
            f"{dollars(spent)} came to this: {last.sentence}"
        )
    would, enough_usd = ("", None) if outcome in ("proven", "undecidable") else _enough(plan, done, config, prompts)
    return UntilSummary(
        plan=plan,
        rounds=list(done),
        outcome=outcome,
        sentence=f"{start} {would}".strip(),
        usd=spent,
        enough_usd=enough_usd,
        next_steps=[f"distil calibrate {plan.student}", f"distil serve {plan.student}"]
        if outcome == "proven"
        else list(last.next_steps),
    )


def _enough(plan: UntilPlan, done: Sequence[UntilRound], config: Config, prompts: int) -> tuple[str, float | None]:
    """What would be enough, in words and in dollars."""
    last = done[-1]
    comparisons = last.corrected_for / max(plan.shares)
    limit = outlook.bar(last.independent, last.margin, comparisons, config.evaluate.confidence)
    found = outlook.curves(points_of(done), last.independent)
    if found is None or limit is None:
        return (
            "What more answers would do can't be said: it takes two rounds whose student is better than its base.",
            None,
        )
    rows = outlook.enough(found, last.rows, limit)
    if rows is None:
        return (
            f"No amount of answers is expected to be enough: the curve flattens above the {100 * max(limit, 0):.1f} points that "
            "could be proven. Improve the teacher's prompt, or take a larger student.",
            None,
        )
    if rows <= last.rows:
        return "The student may be good enough already: more test prompts would show it.", None
    asked = last.independent + round((last.asked - last.independent) * rows / last.rows)
    usd = last.usd + (asked - last.asked) * last.usd_per_prompt
    more = f" There are {prompts:,} prompts: `distil prompts expand` writes more." if asked > prompts else ""
    return f"About {asked:,} answers, {dollars(usd)} altogether, are expected to be enough.{more}", usd
