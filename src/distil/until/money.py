"""What a further prompt and an evaluation cost, measured where the ledger has some, and what the rest of the money buys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from distil.calls.config import TeacherConfig
from distil.calls.ledger.store import Ledger
from distil.calls.prices import price_of
from distil.collect.forecast import CollectForecast, forecasts
from distil.collect.ledger_view import LedgerView
from distil.collect.questions import Question, plan_questions, tier_of
from distil.config import Config
from distil.records import Prompt, Usage
from distil.runs.artifacts import Project

SAMPLED = 300
"""Prompts that an estimate looks at, of the answered and of the others."""
SPARE = 0.97
"""Of the money, for estimates that are a little too low."""
RUBRIC_TOKENS, JUDGMENT_TOKENS = 400, 200
"""Of a judge's question and reply beside the texts, before any is measured."""


class Costs(NamedTuple):
    """Dollars, expected."""

    per_prompt: float
    """A further prompt, asked of all teachers."""
    per_answer: float
    """Of the first teacher."""
    per_judgment: float
    """A pair of answers shown to the judge in both orders, however often that is repeated; 0 = there is no judge."""
    measured: bool
    """From answers of this project; else a guess before the first ones."""

    def evaluation(self, config: Config, test: int, *, first: bool) -> float:
        """Of one round with so many test prompts. first: the teacher's second answers are paid for in it."""
        second = test * self.per_answer if first and config.evaluate.ceiling else 0.0
        return second + test * self.per_judgment


def costs(project: Project, config: Config, ordered: Sequence[Prompt], answered: int) -> Costs:
    """ordered: all prompts in the order in which they are asked, `answered` of them answered. Raises UserError: no price."""
    sampled = [*ordered[max(0, answered - SAMPLED) : answered], *ordered[answered : answered + SAMPLED]]
    ids = {prompt.id for prompt in sampled}
    asked = [question for question in questions(project, config) if question.prompt.id in ids]
    tiers = [tier_of(teacher, config.collect.service) for teacher in config.teachers]
    with Ledger(project.ledger) as ledger:
        view = LedgerView(ledger, config.teachers, project.root)
        found = forecasts(config.teachers, tiers, lambda: iter(asked), view, shown=False)
    each = [
        part.usd / part.to_ask if part.to_ask else _usual(teacher, part)
        for teacher, part in zip(config.teachers, found, strict=True)
    ]
    measured = all(part.usd_margin is not None or not part.to_ask for part in found)
    judge = config.evaluate.judge
    judgment = 0.0
    if judge is not None:
        tokens = found[0].mean_input + 2 * found[0].mean_output + RUBRIC_TOKENS
        usage = Usage(input_tokens=round(tokens), output_tokens=JUDGMENT_TOKENS)
        judgment = 2 * config.evaluate.judge_repeats * price_of(judge.model, judge.price, "standard").cost(usage)
    return Costs(sum(each) * config.collect.samples, each[0], judgment, measured)


def _usual(teacher: TeacherConfig, part: CollectForecast) -> float:
    """Dollars of the mean answer, where there is none to ask for."""
    usage = Usage(input_tokens=round(part.mean_input), output_tokens=round(part.mean_output))
    return price_of(teacher.model, teacher.price, part.tier).cost(usage)


def affordable(left: float, costs: Costs, config: Config, *, test: int, asked: int, rounds: int, most: int) -> int:
    """Prompts that can be asked altogether when so many rounds are evaluated; at least those that are, at most all."""
    evaluations = sum(costs.evaluation(config, test, first=k == 0) for k in range(rounds))
    rest = SPARE * left - evaluations
    if costs.per_prompt <= 0:
        return most
    return max(asked, min(most, asked + int(rest / costs.per_prompt)))


def questions(project: Project, config: Config) -> Sequence[Question]:
    """All that could be asked."""
    return list(plan_questions(project, config.teachers, config.collect.samples))
