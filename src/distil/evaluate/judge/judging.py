"""One judgment from the first question to the summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from distil.evaluate.judge import pairs as pairwise
from distil.evaluate.judge import rubric
from distil.evaluate.judge.settings import Judged
from distil.evaluate.remote import CAP_OPTION
from distil.judging import prompt
from distil.judging.ask import Cap, ask
from distil.judging.prompt import Pair
from distil.judging.settings import Settings
from distil.records import Example, Prediction
from distil.runs.schemas.judge import Preference


def pairs_of(examples: Sequence[Example], student: Mapping[str, Prediction]) -> list[Pair]:
    """The prompts that the student answered, beside the teacher's answers."""
    return [Pair.of(e, student[e.prompt_id]) for e in examples if e.prompt_id in student]


def run(
    ledger: Path,
    settings: Settings,
    pairs: Sequence[Pair],
    *,
    student: str,
    budget_usd: float | None,
    preferences: Sequence[Preference] = (),
) -> Judged:
    """Asks the judge about all pairs and settles what came back; there is a summary even when nothing could be read.

    Raises UserError (no key, no price, unknown model) and Interrupted (Ctrl-C; what was answered is kept).
    """
    mode = rubric if settings.mode == "rubric" else pairwise
    schema = prompt.score_schema(settings.rubric) if settings.mode == "rubric" else prompt.verdict_schema()
    cap = Cap(budget_usd, CAP_OPTION)
    asked = ask(ledger, settings.judge, lambda wanted: mode.requests(pairs, settings, wanted), schema, cap)
    judged = mode.settle(pairs, asked.replies, settings, student=student, preferences=preferences)
    notes = (f"Judge: {asked.why_incomplete}",) if asked.why_incomplete else ()
    summary = judged.summary.model_copy(update={"usd": asked.usd})
    return judged._replace(summary=summary, notes=notes, complete=asked.ends_here([settings.judge]))
