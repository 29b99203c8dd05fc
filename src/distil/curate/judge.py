"""The judge that scores answers for `choose: judge` and `best`: asked about each answer alone, by a rubric.

Its calls have the purpose `curate` and a cap of their own (curate.budget_usd). What was answered is in the ledger, so a run that
was stopped, or one that chooses by another rule, pays for no score twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from distil.calls.config import TeacherConfig
from distil.curate.evidence.corpus import Pair
from distil.curate.evidence.found import Found
from distil.errors import UserError
from distil.judging import prompt as wording
from distil.judging.ask import Cap, ask
from distil.judging.scores import judgment
from distil.progress import say
from distil.records import Example
from distil.text import one_line

PURPOSE = "curate"
"""Of the calls in the ledger."""
CAP_OPTION = "--set curate.budget_usd="
REASON_LENGTH = 120
LEAST_SCORED = 0.8
"""Share of the answers that must have a score: the first teacher's would be taken for the rest, as if it had been judged."""


class Judge:
    """Scores answers from 0 to 1 by a rubric."""

    def __init__(
        self,
        ledger: Path,
        model: TeacherConfig,
        *,
        rubric: str | Sequence[str] | None = None,
        budget_usd: float | None = None,
    ) -> None:
        self.ledger, self.model, self.budget_usd = ledger, model, budget_usd
        texts = [rubric or wording.DEFAULT_RUBRIC] if rubric is None or isinstance(rubric, str) else list(rubric)
        self.rubric = tuple(texts)
        self.usd = 0.0
        """Paid by this run."""
        self.complete = True
        """False when it could not be asked for all."""

    def __call__(self, pairs: Sequence[Pair]) -> list[Found | None]:
        """A score for each answer, None where the reply had none.

        Raises UserError (no key, no price, or scores for too few answers) and Interrupted (Ctrl-C; what was answered is kept).
        """
        if not pairs:
            return []
        shown = [_shown(pair) for pair in pairs]
        questions = [wording.scoring(each, self.rubric, teacher=False) for each in shown]
        asked = ask(
            self.ledger,
            self.model,
            lambda schema: wording.requests(self.model, questions, repeats=1, schema=schema, purpose=PURPOSE),
            wording.score_schema(self.rubric),
            Cap(self.budget_usd, CAP_OPTION),
        )
        self.usd += asked.usd
        self.complete = self.complete and asked.why_incomplete is None
        found = []
        for each, reply in zip(shown, asked.replies, strict=True):
            read = judgment(reply, len(self.rubric), wording.mark_of(each))
            found.append(Found(read[0], one_line(read[1], REASON_LENGTH) or None) if isinstance(read, tuple) else None)
        self._check(found, asked.why_incomplete)
        return found

    def _check(self, found: Sequence[Found | None], why: str | None) -> None:
        scored = sum(each is not None for each in found)
        if scored < LEAST_SCORED * len(found):
            raise UserError(
                f"The judge {self.model.model} gave a score to {scored:,} of {len(found):,} answers"
                f"{f' ({why})' if why else ', the other replies could not be read'}. Nothing is chosen by so few. Run the same "
                "command again (what was answered is kept), name another judge, or set curate.choose: majority."
            )
        if scored < len(found):
            say(
                f"The judge gave no score to {len(found) - scored:,} of {len(found):,} answers; they lose to those with one."
            )


def _shown(pair: Pair) -> wording.Pair:
    """The answer as the judge sees it, with the prompt's turns and reference. Whose it is is not said."""
    example = Example.of(pair.prompt, pair.answer, "train")
    return wording.Pair(example, wording.shown(pair.answer.text, pair.answer.tool_calls), "")
