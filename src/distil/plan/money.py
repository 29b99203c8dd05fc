"""What collecting costs at each tier, and a month before and after, by the rooms of `distil cost`."""

from __future__ import annotations

from typing import NamedTuple

from distil.calls.ledger.store import Ledger
from distil.calls.prices import price_of
from distil.calls.request import Tier
from distil.collect.forecast import CollectForecast, forecasts
from distil.collect.ledger_view import LedgerView
from distil.collect.questions import plan_questions, tier_of
from distil.config import Config
from distil.cost.arithmetic import describe_payback, payback_days
from distil.cost.facts import gather
from distil.cost.options import Means, Sums
from distil.cost.sampling import draws_of_means, interval
from distil.cost.student import hosts_of
from distil.errors import DistilError
from distil.fit import BYTES_PER_TOKEN, text_bytes
from distil.plan.forecast import TierPrice
from distil.records import Prompt, Usage
from distil.runs.artifacts import Project

ANSWER_SHARE = 0.5  # of max_tokens that an answer takes on average, before anything is known
TIERS: tuple[Tier, ...] = ("standard", "flex", "batch")


class Collecting(NamedTuple):
    """What collecting costs, and how long requests and answers are."""

    usd: float | None
    """None = the price is unknown."""
    spent: float
    tiers: list[TierPrice]
    input_tokens: float
    """Of one request."""
    output_tokens: float
    """Of one answer, expected or measured."""
    problem: str = ""
    """Why the price is not known."""


class Months(NamedTuple):
    """A month with the teacher and with the student."""

    before: float | None
    low: float | None
    high: float | None
    after: float | None
    payback: str


def collecting(project: Project, config: Config, prompts: list[Prompt]) -> Collecting:
    """Estimates; measured where the ledger has answers."""
    teachers, section = config.teachers, config.collect
    guess_in = sum(text_bytes(p.messages) for p in prompts) / BYTES_PER_TOKEN / max(1, len(prompts))
    guess_out = teachers[0].sampling.max_tokens * ANSWER_SHARE
    tiers = [tier_of(teacher, section.service) for teacher in teachers]
    with Ledger(project.ledger) as ledger:
        spent = ledger.spent("collect")
        try:
            for teacher, tier in zip(teachers, tiers, strict=True):
                price_of(teacher.model, teacher.price, tier)
        except DistilError as error:
            return Collecting(None, spent, [], guess_in, guess_out, str(error).strip())
        view = LedgerView(ledger, teachers, project.root)
        found = forecasts(teachers, tiers, lambda: plan_questions(project, teachers, section.samples), view)
    usd = spent + sum(part.usd for part in found)
    return Collecting(usd, spent, _tiers(config, found, spent), found[0].mean_input, found[0].mean_output)


def _tiers(config: Config, found: list[CollectForecast], spent: float) -> list[TierPrice]:
    """The same questions at the other tiers' prices, where every teacher has one."""
    result: list[TierPrice] = []
    for tier in TIERS:
        usd, margin, most, measured = spent, 0.0, spent, True
        for teacher, part in zip(config.teachers, found, strict=True):
            quote, now = price_of(teacher.model, teacher.price, tier), price_of(teacher.model, teacher.price, part.tier)
            if tier != "standard" and not quote.discounted:
                break
            factor = quote.output / now.output if now.output else 1.0
            usd += quote.cost(Usage(input_tokens=part.input_tokens, output_tokens=part.output_tokens))
            margin += (part.usd_margin or 0.0) * factor
            most += part.most_usd * factor
            measured = measured and part.usd_margin is not None
        else:
            low, high = (max(spent, usd - margin), usd + margin) if measured else (None, most)
            result.append(TierPrice("live" if tier == "standard" else tier, usd, low, high))
    return result


def months(project: Project, config: Config, costs: Collecting) -> Months:
    """By request where there are answers, else with the expected tokens; the bootstrap over requests gives the interval."""
    try:
        try:
            facts = gather(project, config.cost, config.teachers, None)
        except DistilError:  # no answers yet
            tokens = {"input_tokens": config.cost.input_tokens, "output_tokens": config.cost.output_tokens}
            guessed = {"input_tokens": costs.input_tokens, "output_tokens": costs.output_tokens}
            section = config.cost.model_copy(
                update={key: guessed[key] if value is None else value for key, value in tokens.items()}
            )
            facts = gather(project, section, config.teachers, None)
        host = config.cost.student_host
        ways = hosts_of(host, facts.tokens_per_second) if host is not None else []
    except DistilError:
        return Months(None, None, None, None, "unknown")
    section = facts.section
    sums = Sums(
        section.queries_per_month, section.deferred_cost_ratio, section.audit_share, section.retraining_usd,
        section.teacher_host, facts.priced,
    )  # fmt: skip
    columns = facts.columns()
    means = Means(*(sum(column) / len(column) for column in columns))
    before = sums.teacher(means.usd) if sums.priced else None
    within = interval(draws_of_means(columns), lambda usd, *_: sums.teacher(usd)) if before is not None else None
    after = None
    if ways:
        after = ways[0].month(sums.queries, means.input_tokens, means.output_tokens) + section.retraining_usd
    low, high = within or (None, None)
    if before is None or after is None or costs.usd is None:
        return Months(before, low, high, after, "unknown")
    once = costs.usd + section.training_usd
    return Months(before, low, high, after, _payback(once, before, low, high, after))


def _payback(once: float, before: float, low: float | None, high: float | None, after: float) -> str:
    """With the ends of the interval where they differ in words."""
    middle = describe_payback(payback_days(once, before - after))
    if low is None or high is None:
        return middle
    ends = [describe_payback(payback_days(once, month - after)) for month in (high, low)]
    return middle if ends[0] == ends[1] else f"{middle} ({ends[0]} to {ends[1]})"
