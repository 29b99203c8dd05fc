"""What a plan's looks may spend of the error of its test prompts, and whether that can prove anything.

How looks count: distil/evaluate/looks.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from distil.config import Config
from distil.errors import UserError
from distil.evaluate import looks
from distil.evaluate.examples import identity, read_test_set
from distil.evaluate.stats import least_groups
from distil.records import Example, Prompt
from distil.runs.artifacts import Project
from distil.runs.schemas.active import may_hold_out
from distil.runs.schemas.decision import MIN_PROMPTS
from distil.runs.schemas.until import Target, UntilPlan
from distil.until import outlook


def evaluated_on(project: Project, config: Config) -> list[Example]:
    """The test prompts that are evaluated; none before they are drawn."""
    path = project.split("test")
    if not path.exists() or not path.stat().st_size:
        return []
    return read_test_set(project, trained=True).examples[: config.evaluate.limit]


def known_tests(project: Project, config: Config) -> str | None:
    """The hash of the test prompts, whose prompts are remembered from now on; None before they are drawn."""
    tests = evaluated_on(project, config)
    if not tests:
        return None
    return looks.remember(project, identity(tests), [example.prompt_id for example in tests])


def plans_before(project: Project, plan: UntilPlan, test_set: str | None) -> int:
    """Plans that looked at these test prompts, or at some that are looked at together with them."""
    like = looks.alike(project, test_set) if test_set is not None else ()
    return max((plan.looked_at.get(one, 0) for one in like), default=0)


def divided(project: Project, config: Config, plan: UntilPlan, shares: Sequence[float]) -> list[float]:
    """Shares of the whole error that looks with these shares of a plan will have, beside students looked at without one."""
    if plan.test_set is None:
        return list(shares)
    announced = config.evaluate.students
    return [1 / looks.comparisons(project, plan.test_set, share, announced) for share in shares]


def advice(project: Project, prompts: Sequence[Prompt], *, used: bool) -> str:
    """How there can be more test prompts, or such that have more of the error. used: these were looked at before."""
    held_out = may_hold_out(project.active_rounds, project.active_chosen)
    marked = any(prompt.split == "test" for prompt in prompts)
    fresh = "" if marked or not used else "Fresh test prompts have all of the error: --set curate.seed=1. "
    if held_out is None or marked:
        return f"{fresh}Raise curate.test (or mark more prompts `split: test`), or allow a larger evaluate.margin."
    return (
        f"{fresh}`distil collect --active` left its random first round to test on, so that a larger curate.test finds no more of "
        f"them. Load more prompts, of which {held_out.below:.0%} may be test prompts, mark prompts that are like production's as "
        "`split: test`, or allow a larger evaluate.margin."
    )


def require_provable(
    project: Project, config: Config, target: Target, shares: Sequence[float], test_set: str | None, more: str
) -> None:
    """Raises UserError where even a faultless student would prove nothing on these test prompts. more: what helps."""
    groups = {example.group or example.prompt_id for example in evaluated_on(project, config)}
    section = config.evaluate
    by = looks.comparisons(project, test_set or "", max(shares), section.students)
    enough = target != "SHIP" or outlook.bar(len(groups), section.margin, by, section.confidence) is not None
    if len(groups) >= MIN_PROMPTS and enough:
        return
    need = least_groups(section.margin, confidence=section.confidence, comparisons=by)
    before = by * max(shares)
    used = f", after looks at {before - 1:g} other students, who share the error" if before > 1 else ""
    raise UserError(
        f"{len(groups):,} independent test prompts can't prove that a student is at most {100 * section.margin:g} points "
        f"worse, however good it is{used}: {max(need, MIN_PROMPTS):,} are the least. Nothing was trained. {more}"
    )
