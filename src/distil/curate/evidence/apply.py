"""From evidence to decisions: which answers pass, with which edits, and what the evidence file says about each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from distil.curate.evidence.corpus import Pair
from distil.curate.evidence.filters import Chosen, Filter, corrected
from distil.curate.evidence.found import Signals
from distil.endings import ending
from distil.records import Verdict
from distil.runs.schemas.evidence import Evidence, Signal
from distil.runs.schemas.marks import Mark
from distil.text import visible

PERSON = "person"
"""The filter and the edit that a person's mark is."""
Edits = dict[str, list[str]]
"""Answer id -> the filters that edited it."""


class Measured(NamedTuple):
    """A pair with all that was found about its answer."""

    pair: Pair
    """As it was collected."""
    signals: Signals
    """By name."""
    masked: Mapping[str, int] = {}
    """How many values of which kind were masked in it."""


def apply_filters(
    table: Sequence[Measured],
    chosen: Chosen,
    verdicts: list[Verdict],
    marks: Mapping[str, Mark] | None = None,
    edits: Edits | None = None,
) -> list[Pair]:
    """The pairs that pass all filters; the first filter that objects gives the reason. A person's mark overrules the filters.

    Filters with an edit correct the pair instead; their names are added to `edits`.
    """
    passed = []
    edits = {} if edits is None else edits
    marks = marks or {}
    preferred = {mark.prompt_id: mark.answer_id for mark in marks.values() if mark.mark in ("good", "edited")}
    for pair, signals, _ in table:
        mark = marks.get(pair.answer.id)
        if mark is not None and mark.mark == "bad":
            verdicts.append(_verdict(pair, PERSON, mark.reason or "marked as bad"))
            continue
        if mark is not None:
            passed.append(_rewritten(pair, mark, edits))
            continue
        if pair.prompt.id in preferred:
            verdicts.append(_verdict(pair, "choose", f"a person marked {preferred[pair.prompt.id]} as the good answer"))
            continue
        objection = _objection(pair, signals, chosen)
        if objection is None:
            passed.append(_corrected(pair, signals, chosen, edits))
        else:
            name, reason = objection
            verdicts.append(_verdict(pair, name, reason))
    return passed


def _verdict(pair: Pair, name: str, reason: str) -> Verdict:
    return Verdict(answer_id=pair.answer.id, prompt_id=pair.prompt.id, filter=name, keep=False, reason=reason)


def _rewritten(pair: Pair, mark: Mark, edits: Edits) -> Pair:
    """The pair with the person's own answer, where there is one; tool calls and thinking were those of the other."""
    if mark.text is None:
        return pair
    edits.setdefault(pair.answer.id, []).append(PERSON)
    update = {"text": mark.text, "tool_calls": None, "reasoning": None, "finish_reason": "stop"}
    return pair._replace(answer=pair.answer.model_copy(update=update))


def _objection(pair: Pair, signals: Signals, chosen: Chosen) -> tuple[str, str] | None:
    """(filter, reason) of the first filter that drops the answer."""
    if ending(pair.answer.finish_reason) == "fault":  # whatever the filters: nobody wants half an answer
        return "fault", f"it broke off (finish_reason {visible(pair.answer.finish_reason)})"
    dropping = {name: each for name, each in chosen.active.items() if not each.training_only and each.edit is None}
    return _first_objection(signals, dropping)


def unfit_answers(
    table: Sequence[Measured], chosen: Chosen, marks: Mapping[str, Mark] | None = None
) -> dict[str, tuple[str, str]]:
    """Answer id -> (filter, reason) for what the filters keep out of the training split alone. A mark `good` overrules them."""
    filters = {name: each for name, each in chosen.active.items() if each.training_only and each.edit is None}
    found = {measured.pair.answer.id: _first_objection(measured.signals, filters) for measured in table}
    kept = {id_ for id_, mark in (marks or {}).items() if mark.mark in ("good", "edited")}
    return {id_: objection for id_, objection in found.items() if objection is not None and id_ not in kept}


def _first_objection(signals: Signals, filters: Mapping[str, Filter]) -> tuple[str, str] | None:
    for name, filter_ in filters.items():
        reason = filter_.drops(signals)
        if reason is not None:
            return name, reason
    return None


def _corrected(pair: Pair, signals: Signals, chosen: Chosen, edits: Edits) -> Pair:
    """The pair after all edits whose filters find something."""
    for name, filter_ in chosen.active.items():
        if filter_.edit is not None and filter_.drops(signals) is not None:
            pair = corrected(pair, filter_)
            edits.setdefault(pair.answer.id, []).append(name)
    return pair


def evidence_row(measured: Measured, chosen: Chosen, dropped: str | None, edits: Sequence[str]) -> Evidence:
    """The row of work/curate/evidence.jsonl. dropped: the filter or step that dropped the answer, if one did."""
    (prompt, answer), signals, masked = measured
    known = {name: Signal(value=round(found.value, 4), detail=found.detail) for name, found in signals.items()}
    suspects = [
        name
        for name, filter_ in (chosen.active | chosen.off).items()
        if dropped is None and name not in edits and filter_.suspects(signals)
    ]
    return Evidence.model_validate(
        {
            "answer_id": answer.id,
            "prompt_id": prompt.id,
            "dropped": dropped,
            "suspicious": suspects,
            "edits": list(edits),
            "masked": dict(masked),
            "original": answer.text if edits else None,
            "own": {name: signal for name, signal in known.items() if name in chosen.own},
        }
        | {name: signal for name, signal in known.items() if name not in chosen.own}
    )
