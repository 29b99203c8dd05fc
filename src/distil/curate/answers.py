"""From the answers that passed the filters to the rows of the data set: replacements, the choice, contradictions, both sides.

One prompt is one row until the split. After it a training prompt has the answers that are fit to learn from (none, one, or with
`choose: all` several), and a held-out prompt the one that was chosen without reference or judge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from distil.curate import contradictions
from distil.curate.choose import NO_VOTE, Choice, Grounds, Judge, Quorum, choose
from distil.curate.closeness import Closeness
from distil.curate.committee import (
    CommitteeReport,
    call_committee,
    held_out_without_agreement,
    report_committee,
)
from distil.curate.config import CurateConfig, Method
from distil.curate.evidence.apply import Measured
from distil.curate.evidence.corpus import Pair
from distil.curate.evidence.found import Signals
from distil.curate.reasoning import Traces
from distil.curate.replacements import refuse_replacements
from distil.curate.votes import Task, describe_task, groups, trust
from distil.errors import UserError
from distil.records import Answer, Split, Verdict
from distil.runs.schemas.marks import Mark

COMPARING = ("reference", "reference_similarity")
"""Signals that are measured against the prompts' references."""
Unfit = Mapping[str, tuple[str, str]]
"""Answer id -> (filter, reason) of what must not be trained on but may stand for a held-out prompt."""


class Chosen(NamedTuple):
    """The choice for every prompt."""

    rows: list[Pair]
    """One per prompt that is still there, in the order of the prompts."""
    choices: dict[str, Choice]
    """By prompt id."""
    unfit: Unfit
    """What must not be trained on."""
    notes: list[str]
    """For a person: how it was chosen where that is not what the name of the method says."""
    committee: CommitteeReport | None = None
    """How far the teachers agree with each other and with the log; only for `committee`."""
    unchecked: bool = False
    """References are only what a log said."""


def call(section: CurateConfig, pairs: Sequence[Pair], judge: Judge | None) -> Quorum | None:
    """How many of a committee must agree; None = none chooses. pairs: all answers that were collected, at least one.

    To be asked before any work. Raises UserError for a committee that can't agree, and where there is no judge to choose by.
    """
    if section.choose == "judge" and judge is None:
        raise UserError(
            "curate.choose is judge, and there is none. Name one, such as --set 'curate.judge={model: openai/gpt-5}' (or "
            "evaluate.judge, which is used here too), or set curate.choose: best."
        )
    return call_committee(pairs, section.agree) if section.choose == "committee" else None


def choose_answers(
    table: Sequence[Measured],
    passed: Sequence[Pair],
    unfit: Unfit,
    section: CurateConfig,
    verdicts: list[Verdict],
    judge: Judge | None = None,
    marks: Mapping[str, Mark] | None = None,
    quorum: Quorum | None = None,
) -> Chosen:
    """Chooses for every prompt with an answer that passed, and settles contradictions.

    table: all answers by prompt, to whose signals the judge's scores are added; marks: a person's, which a committee does not
    overrule; quorum: of that committee (`call`). Verdicts of those that were not chosen come with `apply_sides`. Raises UserError
    where no reference can be compared with, and one is to choose.
    """
    if section.references_unchecked and section.choose != "committee":
        forget_references(table)
    pairs = [measured.pair for measured in table]
    signals = {measured.pair.answer.id: measured.signals for measured in table}
    if_refused = section.if_refused if section.choose == "first" else "other"  # the other methods compare what is left
    usable = refuse_replacements(pairs, passed, signals, if_refused, verdicts)
    task = describe_task(usable)
    _require_references(section.choose, usable, signals)
    if judge is not None and section.choose in ("judge", "best"):
        _judge(usable, signals, judge, section.choose)
    closeness = _closeness(section.choose, usable, task)
    unfit = dict(unfit) | (_wrong(usable, signals) if section.choose in ("reference", "best") else {})
    reasons = {answer: reason for answer, (_, reason) in unfit.items()}
    good = frozenset(id_ for id_, mark in (marks or {}).items() if mark.mark in ("good", "edited"))
    grounds = Grounds(task, trust(usable, task), signals, reasons, closeness, quorum, Traces.of(section).shortens, good)
    choices = {
        id_: choose(section.choose, group[0].prompt, [pair.answer for pair in group], grounds)
        for id_, group in groups(usable).items()
    }
    rows = [choice.pair for choice in choices.values()]
    if section.choose not in ("all", "votes"):
        rows = contradictions.settle(rows, task, section.contradictions, verdicts, prefer=trained_on(choices))
    report = report_committee(pairs, choices, grounds) if quorum is not None else None
    if section.references_unchecked:
        forget_references(table)
    notes = _notes(section.choose, choices, closeness)
    return Chosen(rows, choices, unfit, notes, report, unchecked=section.references_unchecked)


def trained_on(choices: Mapping[str, Choice]) -> frozenset[str]:
    """Ids of the prompts that have an answer to train on."""
    return frozenset(id_ for id_, choice in choices.items() if choice.training)


def forget_references(table: Sequence[Measured]) -> None:
    """Takes out of the evidence what compares answers with references that nobody checked: no export may believe them."""
    for measured in table:
        for name in COMPARING:
            measured.signals.pop(name, None)


def _wrong(pairs: Sequence[Pair], signals: Mapping[str, Signals]) -> dict[str, tuple[str, str]]:
    """The answers that are not their reference."""
    found = {pair.answer.id: signals.get(pair.answer.id, {}).get("reference") for pair in pairs}
    return {id_: ("wrong_answer", match.detail or "wrong") for id_, match in found.items() if match and match.value < 1}


def _require_references(method: Method, pairs: Sequence[Pair], signals: Mapping[str, Signals]) -> None:
    if method == "reference" and pairs and not any("reference" in signals.get(pair.answer.id, {}) for pair in pairs):
        raise UserError(
            "curate.choose is reference, but no prompt has a reference that its answers can be compared with (a number, a label, "
            "a letter or JSON). Give the prompts a `reference`, or set curate.choose: majority or first."
        )


def _judge(pairs: Sequence[Pair], signals: Mapping[str, Signals], judge: Judge, method: Method) -> None:
    """Adds the judge's scores for what it decides: prompts with several answers, and for `best` no comparable reference."""
    asked = [
        pair
        for group in groups(pairs).values()
        if len(group) > 1 and not (method == "best" and any("reference" in signals.get(p.answer.id, {}) for p in group))
        for pair in group
    ]
    for pair, found in zip(asked, judge(asked), strict=True):
        if found is not None:
            signals[pair.answer.id]["judge"] = found


def _closeness(method: Method, pairs: Sequence[Pair], task: Task) -> Closeness | None:
    if method not in ("agreement", "committee"):
        return None
    fewest = 3 if method == "agreement" else 2
    texts = [
        pair.answer.text
        for group in groups(pairs).values()
        if len(group) >= fewest and task.kind(group[0].prompt.id) == "text"
        for pair in group
    ]
    return Closeness.prepared(texts) if texts else None


def _notes(method: Method, choices: Mapping[str, Choice], closeness: Closeness | None) -> list[str]:
    several = [choice for choice in choices.values() if len(choice.answers) > 1]
    open_ = sum(choice.reason == NO_VOTE for choice in several)
    notes = []
    if method in ("majority", "best") and 2 * open_ > len(several):
        notes.append(
            f"{open_:,} of {len(several):,} prompts with several answers are open text, on which there is no vote: the first "
            "teacher's answer was taken. curate.choose: judge reads them; agreement takes the one closest to the others"
        )
    if closeness is not None and closeness.why is not None:
        notes.append(
            f"agreement of open texts is by wording, because they can't be compared in meaning: {closeness.why}"
        )
    return notes


def apply_sides(
    rows: Sequence[Pair], sides: Mapping[str, Split], chosen: Chosen, verdicts: list[Verdict]
) -> list[Pair]:
    """The rows with the answers of their side: training prompts may have none or several, held-out ones have one.

    sides: by prompt id; rows without one are left out. Every answer that passed the filters and is in no row now has a verdict.
    """
    placed = []
    for row in rows:
        choice, side = chosen.choices[row.prompt.id], sides.get(row.prompt.id)
        taken = choice.training if side == "train" else (_stands(choice, side)[0],)
        placed += [Pair(row.prompt, answer) for answer in taken if side is not None]
    decided = {verdict.answer_id for verdict in verdicts if not verdict.keep} | {pair.answer.id for pair in placed}
    for id_, choice in chosen.choices.items():
        for answer in choice.answers:
            if answer.id not in decided:
                name, reason = _lost(choice, answer.id, chosen.unfit, sides.get(id_))
                verdicts.append(Verdict(answer_id=answer.id, prompt_id=id_, filter=name, keep=False, reason=reason))
    return placed


def side_notes(
    chosen: Chosen, table: Sequence[Measured], placed: Sequence[Pair], sides: Mapping[str, Split]
) -> list[str]:
    """What a person must know about the answers on both sides, once they have one."""
    right = [] if chosen.unchecked else contradict_references(table, placed, sides)
    return [*held_out_without_agreement(chosen.choices, sides), *right]


def contradict_references(table: Sequence[Measured], placed: Sequence[Pair], sides: Mapping[str, Split]) -> list[str]:
    """One line for a person where answers that are trained on contradict their prompt's reference."""
    trained = {pair.answer.id for pair in placed if sides.get(pair.prompt.id) == "train"}
    found = [
        measured.signals["reference"]
        for measured in table
        if measured.pair.answer.id in trained and "reference" in measured.signals
    ]
    wrong = [match for match in found if match.value < 1]
    if not wrong:
        return []
    return [
        f"{len(wrong):,} of {len(found):,} training answers contradict their own reference (such as {wrong[0].detail}). They are "
        "kept: curate.filters: [default, wrong_answer] leaves them out"
    ]


def _stands(choice: Choice, side: Split | None) -> tuple[Answer, str]:
    """The answer of a held-out prompt, and why that one."""
    if side == "validation":
        return choice.validation, choice.validation_reason
    return choice.held_out, choice.held_out_reason


def _lost(choice: Choice, answer_id: str, unfit: Unfit, side: Split | None) -> tuple[str, str]:
    """(filter, reason) of an answer that was not taken."""
    if side in ("validation", "test"):
        stands, why = _stands(choice, side)
        return "choose", f"{stands.id} was chosen: {why}"
    if answer_id in unfit:
        return unfit[answer_id]
    if not choice.training:
        return choice.dropped_as, choice.reason
    ids = ", ".join(answer.id for answer in choice.training[:3])
    return "choose", f"{ids} {'was' if len(choice.training) == 1 else 'were'} chosen: {choice.reason}"
