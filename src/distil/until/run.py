"""The rounds of `distil until`: collect, curate, train, evaluate, decide, until the verdict is proven or cannot be for the money.

Every step is a stage that resumes, and what is decided before a look is in work/until/ before it: a run that is killed anywhere
goes on from there. All money goes through caps that the ledger holds.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from distil import pipeline
from distil.calls.ledger.allowance import PAYING, Allowance, settled
from distil.collect import rounds as in_rounds
from distil.collect import stage as collect
from distil.collect.questions import answers_there, answers_wanted
from distil.config import Config
from distil.errors import BudgetReached, DistilError, Interrupted
from distil.evaluate import stage as evaluate
from distil.ids import content_id
from distil.progress import clock, dollars, say
from distil.records import Answer, Prompt
from distil.runs.artifacts import Project
from distil.runs.jsonl import append_record, read_examples, read_records, write_json
from distil.runs.manifest import read_manifest
from distil.runs.schemas.summary import Summary
from distil.runs.schemas.until import UntilPlan, UntilRound, UntilSummary, read_plan, read_rounds
from distil.stage_states import line, step_state
from distil.stats.spending import PLANNED
from distil.until import money, outlook, rounds, spending
from distil.until.ending import ended, over, rank
from distil.until.money import Costs
from distil.until.wish import Forecast, Wish

TINY = 1e-9
"""Of the error: less is rounding."""


class Until:
    """One call of `distil until`."""

    def __init__(self, project: Project, config: Config, wish: Wish) -> None:
        self.project, self.config, self.wish = project, config, wish
        pipeline.require_committee(config)
        self.prompts = list(read_records(project.prompts, Prompt))
        self.plan, self.done = self._opened()
        self.allowance = Allowance(project.ledger, wish.budget_usd, self.plan.before_usd)

    def forecast(self) -> Forecast:
        """The rounds as far as they can be known now. Sends nothing. Raises UserError: a price is unknown."""
        ordered, answered = self._ordered()
        costs = money.costs(self.project, self.config, ordered, answered)
        test, first = self._test_size(), self._first_size(answered)
        sizes, used = list(self.plan.sizes), self.allowance.spent()
        sizes = sizes or self._sizes(costs, first, test, answered)
        shares = list(self.plan.shares) or rounds.shares_of(sizes, test, self.plan.number)
        spent, at = [], used
        for number, size in enumerate(sizes, start=1):
            if number > len(self.done):
                before = max(answered, sizes[number - 2] if number > 1 else 0)
                at += max(0, size - before) * costs.per_prompt
                at += costs.evaluation(self.config, min(test, size), first=number == 1)
                at = min(at, max(used, self.wish.budget_usd))
            spent.append(at if number > len(self.done) else self.done[number - 1].usd)
        divided = spending.divided(self.project, self.config, self.plan, shares)
        return Forecast(sizes, spent, divided, costs.measured, used, first)

    def run(self, on_round: Callable[[UntilRound], None] | None = None) -> UntilSummary:
        """All rounds that are left; `on_round` is called after each. Raises what the stages raise; the same command goes on."""
        number = len(self.done) + 1
        try:
            while not self._over():
                number = len(self.done) + 1
                found = self._round(number)
                append_record(self.project.until_rounds, found)
                self.done.append(found)
                if on_round is not None:
                    on_round(found)
        except (Interrupted, KeyboardInterrupt):
            of = f" of {len(self.plan.sizes)}" if self.plan.sizes else ""
            raise Interrupted(
                f"Stopped in round {number}{of}, with {dollars(self.allowance.spent())} of {dollars(self.wish.budget_usd)} "
                f"spent. Nothing is lost; to go on from here: {self.wish.again}"
            ) from None
        except BudgetReached:
            raise BudgetReached(
                f"The money is spent in round {number}: {dollars(self.allowance.spent())} of {dollars(self.wish.budget_usd)}, "
                f"and the next request may cost more than is left. Nothing is lost; to go on, raise it: {self._more()}"
            ) from None
        return self._finish()

    def _more(self) -> str:
        """The option for a budget that pays a first round, and for twice this one where it did."""
        ordered, answered = self._ordered()
        costs = money.costs(self.project, self.config, ordered, answered)
        usd = max(0, self._first_size(0) - answered) * costs.per_prompt
        usd += self.allowance.spent() + costs.evaluation(self.config, self.config.curate.test, first=True)
        return "--budget " + dollars(max(1.25 * usd, 2 * self.wish.budget_usd)).lstrip("$").replace(",", "")

    # the plan

    def _opened(self) -> tuple[UntilPlan, list[UntilRound]]:
        """The plan that goes on, or a new one."""
        before, settings = read_plan(self.project.until_plan), self._settings()
        wish = {"target": self.wish.target, "budget_usd": self.wish.budget_usd}
        if before is None:
            spent = settled(self.project.ledger, *PAYING)
            return UntilPlan(**wish, before_usd=spent, student=self.wish.student, settings=settings), []
        done = [found for found in read_rounds(self.project.until_rounds) if found.plan == before.id]
        looked = spending.plans_before(self.project, before, before.test_set)
        unseen = looked == before.number and bool(before.sizes)  # planned, and it has looked at nothing
        more = self.wish.budget_usd > before.budget_usd and (unseen or self._more_would_help(before, done))
        same = (before.settings, before.student, before.target) == (settings, self.wish.student, self.wish.target)
        if same and not more:
            return before.model_copy(update=wish), done
        fresh = {"id": before.id + 1, "number": looked, "sizes": (), "shares": ()}
        return before.model_copy(update={**wish, **fresh, "student": self.wish.student, "settings": settings}), []

    def _more_would_help(self, plan: UntilPlan, done: list[UntilRound]) -> bool:
        """Whether the rounds ended short of their target where more answers could be bought."""
        if not done or not over(plan, done, self.config.evaluate.confidence):
            return False
        short = rank(done[-1].decision) < rank(plan.target) and done[-1].shortfall is not None
        return short and done[-1].asked < len(self.prompts)

    def _settings(self) -> str:
        """Hash of what another plan would be another experiment for: not of prices, caps and how answers are bought."""
        names = {"collect", "curate", "student", "train", "evaluate"}
        # without defaults, as a later version has further keys
        sections = self.config.model_dump(mode="json", include=names, exclude_defaults=True)
        sections["teachers"] = [
            teacher.model_dump(mode="json", include={"model", "sampling"}, exclude_defaults=True)
            for teacher in self.config.teachers
        ]
        for section in ("collect", "curate", "evaluate"):
            for key in collect.FREE_TO_CHANGE:  # the caps are among them
                sections.get(section, {}).pop(key, None)
        sections = {name: section for name, section in sections.items() if section}
        return content_id("until", [sections, sorted(prompt.id for prompt in self.prompts)])

    def _save(self) -> None:
        write_json(self.project.until_plan, self.plan.model_dump(mode="json"))

    def _ordered(self) -> tuple[list[Prompt], int]:
        """Prompts in the order in which they are asked, and how many are answered."""
        path = self.project.answers
        ids = frozenset(answer.prompt_id for answer in read_records(path, Answer)) if path.exists() else frozenset()
        return rounds.in_order(self.prompts, ids), sum(prompt.id in ids for prompt in self.prompts)

    def _closed(self) -> bool:
        """Whether the test prompts are drawn: they stay as they are in all rounds, and plans, with these settings."""
        manifest = read_manifest(self.project, "curate")
        if manifest is None or self.plan.test_set is None or self.plan.test_set != self._test_set():
            return False
        now = self.config.curate.model_dump(mode="json")
        return all(manifest.config.get(key) == value for key, value in now.items() if key != "budget_usd")

    def _test_set(self) -> str | None:
        return spending.known_tests(self.project, self.config)

    def _test_size(self) -> int:
        """Test prompts; before they are drawn, as many as there will be."""
        if self._closed():
            return sum(1 for _ in read_examples(self.project.split("test")))
        fixed = sum(prompt.split == "test" for prompt in self.prompts)
        return fixed or min(self.config.curate.test, len(self.prompts) // 3)

    def _first_size(self, answered: int) -> int:
        return rounds.first_size(self.prompts, answered, 0 if self._closed() else self.config.curate.test)

    def _sizes(self, costs: Costs, first: int, test: int, asked: int) -> list[int]:
        """Sizes of the rounds that the money buys."""
        planned: list[int] = [first]
        for count in range(rounds.MOST_ROUNDS, 0, -1):
            most = money.affordable(
                self.allowance.left(), costs, self.config, test=test, asked=asked, rounds=count, most=len(self.prompts)
            )
            planned = rounds.sizes(first, most, test) if most > first else [max(most, 1)]
            if len(planned) <= count:
                break
        return planned

    # a round

    def _round(self, number: int) -> UntilRound:
        start = time.monotonic()
        stopped = False
        if not self.plan.sizes:
            stopped = self._first_answers()
        size = self.plan.sizes[number - 1]
        say(self._headline(number, size))
        stopped = self._collect(size, number) or stopped
        self._curate(number)
        last = stopped or number == len(self.plan.sizes)
        share = sum(self.plan.shares[number - 1 :]) if last else self.plan.shares[number - 1]
        self._train()
        self._note_looking()
        summary = self._evaluate(share)
        ordered, answered = self._ordered()
        costs = money.costs(self.project, self.config, ordered, answered)
        test = summary.deciding
        margin = test.margin if test else self.config.evaluate.margin
        by = summary.looks.corrected_for / (summary.looks.share or share)
        return UntilRound(
            plan=self.plan.id,
            number=number,
            asked=min(size, answered) if stopped else size,
            rows=sum(1 for _ in read_examples(self.project.split("train"))),
            independent=summary.clusters,
            usd=self.allowance.spent(),
            usd_per_prompt=costs.per_prompt,
            seconds=time.monotonic() - start,
            share=summary.looks.share or share,
            corrected_for=summary.looks.corrected_for,
            name=test.label if test else None,
            student=test.student if test else None,
            other=test.other if test else None,
            shortfall=test.shortfall if test else None,
            margin=margin,
            bar=outlook.bar(summary.clusters, margin, by, self.config.evaluate.confidence) if test else None,
            improved=_improved(summary),
            decision=summary.verdict.decision,
            sentence=summary.verdict.sentence,
            last=last,
            next_steps=tuple(summary.verdict.next_steps),
        )

    def _headline(self, number: int, size: int) -> str:
        before = self.done[-1] if self.done else None
        left = ""
        if before is not None:
            per_prompt = before.seconds / before.asked
            wait = per_prompt * sum(self.plan.sizes[number - 1 :])
            left = f", about {clock(wait)} left if it takes all rounds"
        return (
            f"Round {number} of {len(self.plan.sizes)}: {size:,} answers; {dollars(self.allowance.spent())} of "
            f"{dollars(self.wish.budget_usd)} spent{left}"
        )

    def _first_answers(self) -> bool:
        """Asks as much as any plan does, then plans by what it cost. Returns whether the money is spent."""
        self._save()
        first = self._first_size(self._ordered()[1])
        say(f"First answers: {first:,} prompts, to know what one costs")
        stopped = self._collect(first, 1)
        ordered, answered = self._ordered()
        costs = money.costs(self.project, self.config, ordered, answered)
        test = self._test_size()
        sizes = self._sizes(costs, first, test, max(answered, first if not stopped else 0))
        self.plan = self.plan.model_copy(
            update={"sizes": tuple(sizes), "shares": tuple(rounds.shares_of(sizes, test, self.plan.number))}
        )
        self._save()
        return stopped

    def _collect(self, size: int, number: int) -> bool:
        """Asks the first `size` prompts. Returns whether the money stopped it; what was answered is used."""
        ordered, answered = self._ordered()
        wanted = self._wanted(ordered[:size])
        have = answers_there(self.project)
        if wanted <= have and collect.recorded(self.project, self.config.collect, self.config.teachers):
            return False
        section, reserve = self.config.evaluate, 0.0
        if section.judge is not None or (number == 1 and section.ceiling):
            costs = money.costs(self.project, self.config, ordered, answered)
            reserve = costs.evaluation(self.config, self._test_size(), first=number == 1)
        left = self.allowance.left()
        may = left - min(reserve, left / 2)  # before anything is measured, the reserve is a guess
        asked = self.config.collect.model_copy(update={"budget_usd": self._cap("collect", may)})
        try:
            collect.run(self.project, asked, self.config.teachers, only=wanted, rounds=self.wish.command)
        except BudgetReached:
            have = answers_there(self.project) & self._wanted(ordered)
            if not have:
                raise
            say("The money for answers is spent: this is the last round.")
            # once more for what is there, so that the stage is done
            collect.run(self.project, asked, self.config.teachers, only=have, rounds=self.wish.command)
            return True
        return False

    def _cap(self, purpose: str, usd: float) -> float:
        """The budget_usd of a stage that may spend so much more of the sum for a purpose."""
        config = self.config
        kept = {"collect": config.collect.budget_usd, "curate": config.curate.budget_usd}
        configured = kept.get(purpose, config.evaluate.budget_usd) if self.wish.keep_caps else None
        return self.allowance.cap(purpose, usd, configured)

    def _wanted(self, prompts: list[Prompt]) -> frozenset[str]:
        teachers, samples = self.config.teachers, self.config.collect.samples
        return answers_wanted(self.project, teachers, samples, {prompt.id for prompt in prompts})

    def _curate(self, number: int) -> None:
        """Curates what is new; the first round draws the test prompts, and they stay. Raises UserError: too few of them."""
        if step_state(self.project, self.config, "curate").state != "done":
            cap = self._cap("curate", self.allowance.left())
            section = self.config.curate.model_copy(update={"budget_usd": cap})
            config = self.config.model_copy(update={"curate": section})
            pipeline.curate(self.project, config, closed=number > 1 or self._closed())
        test_set, plan = self._test_set(), self.plan
        if number == 1 and test_set != plan.test_set:
            number_before = spending.plans_before(self.project, plan, test_set)
            shares = tuple(rounds.shares_of(plan.sizes, self._test_size(), number_before))
            plan = plan.model_copy(update={"test_set": test_set, "number": number_before, "shares": shares})
        left = sum(spending.divided(self.project, self.config, plan, plan.shares))
        self._require_provable(plan, left)
        if plan is not self.plan:
            self.plan = plan
            self._save()
        if number == 1 and left < PLANNED - TINY:
            say(
                f"These test prompts, or most of them, were looked at before: the looks of this plan share {left:.1%} of the "
                "error. Fresh test prompts, which cost no answers, have all of it: --set curate.seed=1"
            )

    def _require_provable(self, plan: UntilPlan, left: float) -> None:
        """Raises UserError where even a faultless student would prove nothing on these test prompts. left: of the error."""
        bought, first = plan.sizes[0], self._first_size(0)
        more = spending.advice(self.project, self.prompts, used=left < PLANNED - TINY)
        if bought < first:
            more = f"The money buys {bought:,} answers, and a first round has {first:,}: {self._more()}"
        spending.require_provable(self.project, self.config, self.wish.target, plan.shares, plan.test_set, more)

    def _train(self) -> None:
        name = self.wish.student
        for stage, _ in line(self.project, self.config, name):
            if stage in ("signals", "train"):
                student = name if stage == "train" else None
                if step_state(self.project, self.config, stage, student).state != "done":
                    pipeline.run_stage(self.project, self.config, stage, student)

    def _note_looking(self) -> None:
        """That this plan looks at its test prompts is on disk before it does: another plan has another share of the error."""
        test_set, plans = self.plan.test_set or "", self.plan.number + 1
        if self.plan.looked_at.get(test_set) != plans:
            self.plan = self.plan.model_copy(update={"looked_at": self.plan.looked_at | {test_set: plans}})
            self._save()

    def _evaluate(self, share: float) -> Summary:
        """The look, at its share of the error; one that was taken is not taken again."""
        project, name = self.project, self.wish.student
        teachers, student = self.config.teachers, self.config.student
        known = evaluate.unchanged(project, self.config.evaluate, name=name, teachers=teachers, student=student)
        if known is not None and known.looks.share is not None:
            return known
        left = self.allowance.left()
        second = left if self.config.evaluate.judge is None else left / 2 if not self.done else left / 10
        section = self.config.evaluate.model_copy(update={"budget_usd": self._cap("evaluate", second)})
        judge_usd = self._cap("judge", left - second)
        planned = evaluate.Planned(share, judge_usd)
        return evaluate.run(project, section, name=name, teachers=teachers, student=student, planned=planned)

    # the end

    def _over(self) -> bool:
        return bool(self.done) and over(self.plan, self.done, self.config.evaluate.confidence)

    def _finish(self) -> UntilSummary:
        """The summary, written down; of rounds that ended before, it is the same again."""
        summary = ended(self.plan, self.done, self.config, self.allowance.spent(), len(self.prompts))
        write_json(self.project.until, summary.model_dump(mode="json"))
        in_rounds.end(self.project)
        try:
            # the bill and the report, which cost nothing: other stages would have the caps of the config
            pipeline.run_missing(self.project, self.config, name=self.wish.student, only=("cost", "report"))
        except DistilError as error:
            say(f"The report is not made: {error}")
        return summary


def _improved(summary: Summary) -> bool:
    """Better than the base before distillation, where that was measured."""
    rows = [d for d in summary.differences if d.versus == "base" and d.metric == summary.primary]
    return not rows or (rows[0].difference.low is not None and rows[0].difference.low > 0)
