"""A person's marks on answers: a log in work/curate/marks.jsonl, of which the last row of each answer counts.

Undoing takes the last row away. Rows of earlier versions (`keep: true | false`) are read as good and bad.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from distil.errors import UserError
from distil.ids import now
from distil.records import SCHEMA_VERSION, Verdict
from distil.runs.jsonl import append_record, describe, read_lines, write_records
from distil.runs.schemas.marks import Mark


def read_log(path: Path) -> list[Mark]:
    """All rows, oldest first; none without a file. Raises UserError that names file, line and field."""
    if not path.exists():
        return []
    log = []
    for number, line in read_lines(path):
        line.pop("schema", SCHEMA_VERSION)
        try:
            log.append(_earlier(line) if "keep" in line else Mark.model_validate(line))
        except ValidationError as error:
            raise UserError(f"{path}, line {number}: {describe(error)}") from None
    return log


def read_marks(path: Path) -> dict[str, Mark]:
    """The mark of each answer that has one, by the answer's id."""
    latest = {mark.answer_id: mark for mark in read_log(path)}
    return {answer_id: mark for answer_id, mark in latest.items() if mark.mark != "none"}


def add_mark(path: Path, mark: Mark) -> None:
    """Adds a row. Raises WorkFailed when it can't be written."""
    append_record(path, mark)


def undo(path: Path) -> Mark | None:
    """Takes the last row away and returns it; None when there is none."""
    log = read_log(path)
    if not log:
        return None
    write_records(path, log[:-1])
    return log[-1]


def _earlier(line: dict[str, object]) -> Mark:
    verdict = Verdict.model_validate(line)
    return Mark(
        answer_id=verdict.answer_id,
        prompt_id=verdict.prompt_id,
        mark="good" if verdict.keep else "bad",
        reason=verdict.reason,
        created=now(),
    )
