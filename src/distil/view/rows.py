"""A row as JSON for the page: brief for the list, whole for the reader. The page shows all texts as text, never as HTML."""

from __future__ import annotations

from collections.abc import Mapping

from distil.runs.schemas.evidence import Evidence, Signal
from distil.runs.schemas.marks import Mark
from distil.text import one_line
from distil.view.catalog import SIGNALS, AnswerRow, Row

BRIEF = 160
"""Characters of a prompt in the list."""


def brief(row: Row, marks: Mapping[str, Mark]) -> dict[str, object]:
    """What the list shows."""
    asked = next((message.text for message in reversed(row.prompt.messages) if message.role == "user"), "")
    return {
        "id": row.prompt.id,
        "prompt": one_line(asked or row.prompt.messages[-1].text, BRIEF),
        "answers": len(row.answers),
        "dropped": sorted(row.values["dropped"] - {"choose"}),  # the others of several answers are not at fault
        "suspicious": sorted(row.values["suspicious"]),
        "split": sorted(row.values["split"]),
        "marks": sorted({marks[each.answer.id].mark for each in row.answers if each.answer.id in marks}),
    }


def whole(row: Row, marks: Mapping[str, Mark]) -> dict[str, object]:
    """What the reader shows."""
    return {
        **brief(row, marks),
        "turns": [[message.role, message.text] for message in row.prompt.messages],
        "reference": row.prompt.reference,
        "group": row.prompt.group,
        "all_answers": [_answer(each, marks.get(each.answer.id)) for each in row.answers],
        "predictions": [{"model": each.model, "text": each.text} for each in row.predictions],
    }


def _answer(row: AnswerRow, mark: Mark | None) -> dict[str, object]:
    answer, known = row
    verdict, evidence = known.verdict, known.evidence
    return {
        "id": answer.id,
        "teacher": answer.teacher,
        "sample": answer.sample,
        "finish": answer.finish_reason,
        "text": answer.text,
        "reasoning": answer.reasoning,
        "calls": [call.get("function") for call in answer.tool_calls or []],
        "split": known.split,
        "dropped": None if verdict is None else [verdict.filter, verdict.reason],
        "suspicious": [] if evidence is None else evidence.suspicious,
        "edits": [] if evidence is None else [*evidence.edits, *(f"mask {name}" for name in evidence.masked)],
        "signals": [] if evidence is None else signals(evidence),
        "mark": None if mark is None else {"mark": mark.mark, "text": mark.text, "reason": mark.reason},
    }


def signals(evidence: Evidence) -> list[tuple[str, float, str | None]]:
    """(name, value, detail) of everything that was found."""
    found: list[tuple[str, Signal | None]] = [(name, getattr(evidence, name)) for name in SIGNALS]
    found += evidence.own.items()
    return [(name, signal.value, signal.detail) for name, signal in found if signal is not None]
