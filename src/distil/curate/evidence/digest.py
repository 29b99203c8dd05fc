"""What curate says about the evidence: each reason with its count and two examples, for terminal, report and doctor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from distil.curate.evidence.apply import Edits, Measured, evidence_row
from distil.curate.evidence.filters import Chosen
from distil.records import Verdict
from distil.runs.schemas.evidence import Evidence, Reason, ReasonKind, Sample
from distil.text import one_line

EXAMPLES = 2
"""Examples of each reason."""
_TEXT, _REASON = 160, 160  # characters of an example
_UNSEEN = ("secrets", "personal_data")  # whose answers are not shown
_ORDER: tuple[ReasonKind, ...] = ("dropped", "corrected", "suspicious", "not_chosen")


class Digest:
    """Counts reasons while the rows of the evidence file are made."""

    def __init__(self, chosen: Chosen, verdicts: Sequence[Verdict], edits: Edits) -> None:
        self._chosen, self._edits = chosen, edits
        self._verdicts: Mapping[str, Verdict] = {verdict.answer_id: verdict for verdict in verdicts}
        self._counts: dict[tuple[ReasonKind, str], int] = {}
        self._samples: dict[tuple[ReasonKind, str], list[Sample]] = {}

    def row(self, measured: Measured) -> Evidence:
        """The row of the file; it is counted too."""
        answer_id = measured.pair.answer.id
        verdict = self._verdicts.get(answer_id)
        row = evidence_row(measured, self._chosen, verdict.filter if verdict else None, self._edits.get(answer_id, ()))
        if verdict is not None:
            kind: ReasonKind = "not_chosen" if verdict.filter == "choose" else "dropped"
            self._count(kind, verdict.filter, measured, verdict.reason)
            return row
        filters = self._chosen.active | self._chosen.off
        for name in row.edits:
            found = filters[name].says(measured.signals) if name in filters else "a person wrote the answer"
            self._count("corrected", name, measured, found, shown=False)
        for name in row.suspicious:
            self._count("suspicious", name, measured, filters[name].says(measured.signals))
        return row

    def reasons(self) -> list[Reason]:
        """Dropped first, then corrected, suspicious and not chosen; the most frequent of each first."""
        order = sorted(self._counts, key=lambda key: (_ORDER.index(key[0]), -self._counts[key], key[1]))
        return [Reason(kind=key[0], name=key[1], count=self._counts[key], examples=self._samples[key]) for key in order]

    def _count(self, kind: ReasonKind, name: str, measured: Measured, reason: str, *, shown: bool = True) -> None:
        key = (kind, name)
        self._counts[key] = self._counts.get(key, 0) + 1
        samples = self._samples.setdefault(key, [])
        if len(samples) == EXAMPLES:
            return
        answer = measured.pair.answer
        hidden = not shown or name in _UNSEEN or "secrets" in measured.signals
        samples.append(
            Sample(
                answer_id=answer.id,
                text="" if hidden else one_line(answer.text, _TEXT),
                reason=one_line(reason, _REASON),
            )
        )
