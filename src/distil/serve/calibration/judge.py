"""The judge of a calibration: the one of the evaluation, asked whether the student's answers are bad. Paid once, under a cap.

Asked as `distil evaluate` asks it: which of two answers is better, in both orders (bad: it prefers the teacher's in both), or how
good the student's answer is by the user's rubric. An answer without a verdict counts as bad, so that a promise never rests on
what nobody read; and a judge whose verdicts do not depend on the answers labels nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from pathlib import Path

from distil.calls.faults import CallFailed
from distil.calls.ledger.store import Ledger
from distil.calls.prices import price_of
from distil.calls.request import JsonObject, Reply, Request
from distil.errors import BudgetReached, UserError, WorkFailed
from distil.formats.tokens import PER_TURN, estimate
from distil.judging import prompt
from distil.judging.ask import Cap, ask
from distil.judging.asking import Asked, check
from distil.judging.orders import agreement
from distil.judging.prompt import Pair, shown
from distil.judging.reading import Slot, Verdict
from distil.judging.reading import judgment as verdict_of
from distil.judging.scores import HIGHEST, LOWEST
from distil.judging.scores import judgment as score_of
from distil.judging.settings import Settings
from distil.progress import dollars, say
from distil.records import Example
from distil.serve.calibration.acceptance import Given, Rule
from distil.text import same_answer
from distil.thinking import visible

PURPOSE = "judge"
"""Of the calls in the ledger: what the evaluation has asked already is not paid again."""
CAP_OPTION = "--set serve.judge_budget_usd="
SCORE_GOAL = 0.75
"""A rubric of 1 to 5: good from 4 on."""
REPLY_TOKENS = 60
"""Of a verdict with its reason, for the estimate."""
LEAST_READ = 0.8
"""Share of the answers that need a verdict: a judge that fails more often would only spend an attempt."""
WORTH_A_NOTE = 0.02


class Judge:
    """Labels answers as bad or not: `ask` about all of them once, then `rule` knows."""

    def __init__(self, ledger: Path, settings: Settings, budget_usd: float | None, goal: float | None = None) -> None:
        self.ledger, self.settings, self.budget_usd = ledger, settings, budget_usd
        self.usd = 0.0
        """Paid by this run."""
        self.note = ""
        """How many answers it was asked about, and what it did not answer."""
        pairwise, criteria = settings.mode == "pairwise", len(settings.rubric) > 1
        self.goal = goal if goal is not None else 1.0 if pairwise or criteria else SCORE_GOAL
        self._bad: dict[tuple[str, str], bool] = {}

    @property
    def rule(self) -> Rule:
        """What bad means."""
        return Rule("judge", "prose", self.goal, judge=self._labels, judged=self._sentence())

    def check(self, examples: Sequence[Example]) -> None:
        """Before any work: a key, a price, and a cap where it costs anything. Raises UserError.

        The student's answers are taken to be as long as the teacher's.
        """
        check(self.ledger, self.settings.judge)
        answers = [shown(example.answer, example.messages[-1].tool_calls) for example in examples]
        usd = self._estimate([Pair(example, text, text) for example, text in zip(examples, answers, strict=True)])
        questions = (
            f"{self.settings.judge.model} about the student's answers to {len(examples):,} prompts (labels and test)"
        )
        if self.budget_usd is None and usd > 0:
            raise UserError(
                f"serve.bad is judge, and serve.judge_budget_usd is not set. Asking {questions} costs about {dollars(usd)}. "
                f"Type: {CAP_OPTION}{self._enough(usd)} (the cap counts everything that this project ever paid for a judge)."
            )
        cap = "" if self.budget_usd is None else f", at most {dollars(self.budget_usd)} (serve.judge_budget_usd)"
        say(f"distil calibrate: asks {questions}, about {dollars(usd)}{cap}; what was asked before costs nothing.")

    def ask(self, given: Sequence[Given]) -> None:
        """Asks about all answers that need it.

        Raises BudgetReached, UserError (it can't be asked, or its verdicts are worth nothing), WorkFailed (it is down) and
        Interrupted (Ctrl-C); what was answered is kept.
        """
        rows: list[tuple[Given, Pair]] = []
        for one in given:
            known = _known(one)
            if known is None:
                rows.append((one, _pair(one)))
            else:
                self._bad[_key(one)] = known
        pairs = [pair for _, pair in rows]
        pairwise = self.settings.mode == "pairwise"
        schema = prompt.verdict_schema() if pairwise else prompt.score_schema(self.settings.rubric)
        asked = ask(
            self.ledger,
            self.settings.judge,
            lambda wanted: self._requests(pairs, wanted),
            schema,
            Cap(self.budget_usd, CAP_OPTION),
        )
        self.usd += asked.usd
        _require_all_sent(asked)
        found, why_not = (_compared if pairwise else self._scored)(pairs, asked.replies)
        unread = sum(bad is None for bad in found)
        if unread > (1 - LEAST_READ) * len(found):
            raise UserError(
                f"The judge {self.settings.judge.model} gave a verdict on {len(found) - unread:,} of {len(found):,} answers"
                f"{f' ({asked.why_incomplete})' if asked.why_incomplete else ', the other replies could not be read'}. Nothing "
                "is certified by so few. Run the same command again (what was answered is kept), or name another judge."
            )
        if why_not is not None:
            raise UserError(
                f"Nothing is certified by the judge {self.settings.judge.model}: {why_not}, so its verdicts say nothing about "
                "the answers. Name another judge (serve.judge), or type --set serve.bad=similarity."
            )
        self._bad |= {_key(one): bad is not False for (one, _), bad in zip(rows, found, strict=True)}
        self.note = f"{self.settings.judge.model} was asked about {len(rows):,} of {len(given):,} answers"
        if unread > WORTH_A_NOTE * len(found):
            self.note += f"; {unread:,} of them got no verdict that could be read, and count as bad"

    # -- inside -----------------------------------------------------------------------------------------------------

    def _labels(self, given: Sequence[Given]) -> list[bool]:
        return [self._bad[_key(one)] for one in given]

    def _sentence(self) -> str:
        model, count = self.settings.judge.model, len(self.settings.rubric)
        if self.settings.mode == "pairwise":
            return f"the judge {model} prefers the teacher's answer in both orders"
        if count == 1:
            return f"the judge {model} scores it below {LOWEST + self.goal * (HIGHEST - LOWEST):g} of {HIGHEST} by the rubric"
        return f"the judge {model} finds that it meets under {self.goal:.0%} of the {count} criteria"

    def _requests(self, pairs: Sequence[Pair], schema: JsonObject | None) -> list[Request]:
        if self.settings.mode == "pairwise":
            questions = [prompt.comparison(pair, swapped=swapped) for pair in pairs for swapped in (False, True)]
        else:
            questions = [prompt.scoring(pair, self.settings.rubric, teacher=False) for pair in pairs]
        return prompt.requests(self.settings.judge, questions, repeats=1, schema=schema, purpose=PURPOSE)

    def _scored(self, pairs: Sequence[Pair], replies: Sequence[Reply | None]) -> tuple[list[bool | None], str | None]:
        """Whether each score is below the goal, None where none could be read; why the scores say nothing, if they do."""
        count = len(self.settings.rubric)
        found = [score_of(reply, count, prompt.mark_of(pair)) for pair, reply in zip(pairs, replies, strict=True)]
        values = [each[0] if isinstance(each, tuple) else None for each in found]
        scores = [value for value in values if value is not None]
        flat = len(scores) > 1 and len({*scores}) == 1
        why_not = "the judge gives every answer the same score" if flat else None
        return [None if value is None else value < self.goal - 1e-9 for value in values], why_not

    def _estimate(self, pairs: Sequence[Pair]) -> float:
        """Dollars for all questions about the pairs."""
        price = price_of(self.settings.judge.model, self.settings.judge.price)
        asked = self._requests(pairs, None)
        sizes = [sum(estimate(message.text) + PER_TURN for message in request.messages) for request in asked]
        return sum(price.max_cost(size, REPLY_TOKENS) for size in sizes)

    def _enough(self, usd: float) -> str:
        """A cap that is surely enough: twice the estimate beside what was paid for judges already, in whole cents."""
        spent = 0.0
        if self.ledger.exists():
            with Ledger(self.ledger) as ledger:
                spent = ledger.spent(PURPOSE) + ledger.uncertain(PURPOSE).usd
        return f"{ceil((spent + 2 * usd) * 100) / 100:g}"


def _compared(pairs: Sequence[Pair], replies: Sequence[Reply | None]) -> tuple[list[bool | None], str | None]:
    """Whether the teacher's answer is preferred in both orders, None where one of them could not be read; why the verdicts say
    nothing, if they do."""
    orders: list[list[tuple[Slot, Slot]]] = []
    for pair, forward, backward in zip(pairs, replies[::2], replies[1::2], strict=True):
        mark = prompt.mark_of(pair)
        first, second = verdict_of(forward, mark), verdict_of(backward, mark)
        if isinstance(first, Verdict) and isinstance(second, Verdict):
            orders.append([(first.slot, second.slot)])
        else:
            orders.append([])
    agreed = agreement(orders)
    return [
        both[0] == ("B", "A") if both else None for both in orders
    ], agreed.why_not() if agreed is not None else None


def _require_all_sent(asked: Asked) -> None:
    """Failures of single answers count as bad; an end of all asking stops before anything is tested."""
    failure = asked.failure
    if isinstance(failure, BudgetReached):
        raise BudgetReached(f"Nothing is certified: not all answers are judged yet. {failure}")
    if isinstance(failure, UserError | WorkFailed) and not isinstance(failure, CallFailed):
        raise failure
    if asked.replies and all(reply is None for reply in asked.replies):
        raise WorkFailed(f"Nothing is certified: {asked.why_incomplete}")


def _key(one: Given) -> tuple[str, str]:
    return one.example.id, shown(one.text, list(one.calls))


def _pair(one: Given) -> Pair:
    last = one.example.messages[-1]
    return Pair(
        one.example, shown(visible(one.text), list(one.calls)), shown(visible(one.example.answer), last.tool_calls)
    )


def _known(one: Given) -> bool | None:
    """Whether an answer is bad where nobody has to be asked: cut off, empty, or the same as the teacher's; None = ask."""
    if not one.whole:
        return True
    pair = _pair(one)
    if pair.same or (
        not one.calls and not one.example.messages[-1].tool_calls and same_answer(pair.student, pair.teacher)
    ):
        return False
    return True if not pair.student.strip() else None
