"""Who may answer in place of a teacher that refused: another's real answer, never its refusal or its words about itself.

What a filter just lets pass does little harm beside good answers, but it must not take the place of one. So where an answer of a
prompt was dropped as a refusal, the others have to be free of every sign of one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from distil.curate.evidence.corpus import Pair
from distil.curate.evidence.found import Signals
from distil.curate.votes import groups
from distil.records import Verdict

IfRefused = Literal["other", "leave_out"]
DECLINED = ("refusal", "vendor_identity")
"""Filters whose drop means that a teacher declined, or spoke of itself instead of answering."""
SIGNS: Mapping[str, float] = {"refusal": 0.2, "vendor_identity": 0.2}
"""Signal -> from which value on an answer can't replace another's."""
FILTER = "replacement"
"""Name in dropped.jsonl."""


def refuse_replacements(
    pairs: Sequence[Pair],
    passed: Sequence[Pair],
    signals: Mapping[str, Signals],
    if_refused: IfRefused,
    verdicts: list[Verdict],
) -> list[Pair]:
    """The passed pairs without those that may not take the place of a refusal; they get a verdict.

    pairs: all, by prompt in the order of preference. `other`: answers behind a refusal that was dropped have to be real ones.
    `leave_out`: where every answer of the first teacher was dropped as a refusal, none stays.
    """
    declined = {verdict.answer_id for verdict in verdicts if verdict.filter in DECLINED and not verdict.keep}
    reasons: dict[str, str] = {}
    for group in groups(pairs).values():
        first = [pair.answer for pair in group if pair.answer.teacher == group[0].answer.teacher]
        left_out = if_refused == "leave_out" and all(answer.id in declined for answer in first)
        refused: str | None = None
        for _, answer in group:
            if left_out:
                reasons[answer.id] = (
                    f"{first[0].teacher} comes first and refused this prompt (curate.if_refused: leave_out)"
                )
            elif refused is not None and (sign := _sign(signals.get(answer.id, {}))):
                reasons[answer.id] = f"it would replace the refusal of {refused} and looks like one: {sign}"
            refused = refused or (answer.teacher if answer.id in declined else None)
    stay = [pair for pair in passed if pair.answer.id not in reasons]
    verdicts += [
        Verdict(
            answer_id=pair.answer.id,
            prompt_id=pair.prompt.id,
            filter=FILTER,
            keep=False,
            reason=reasons[pair.answer.id],
        )
        for pair in passed
        if pair.answer.id in reasons
    ]
    return stay


def _sign(signals: Signals) -> str | None:
    """What makes an answer look like a refusal, or None."""
    for name, least in SIGNS.items():
        found = signals.get(name)
        if found is not None and found.value >= least:
            return found.detail or name
    return None
