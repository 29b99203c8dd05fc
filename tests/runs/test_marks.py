"""The log of a person's marks: the last of an answer counts, undoing removes the last, earlier versions' rows are read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from distil.errors import UserError
from distil.runs.marks import add_mark, read_log, read_marks, undo
from distil.runs.schemas.marks import Mark


def mark(answer_id: str, said: str, text: str | None = None) -> Mark:
    return Mark.model_validate(
        {"answer_id": answer_id, "prompt_id": "p", "mark": said, "text": text, "created": "2026-11-29T00:00:00Z"}
    )


def test_the_last_mark_of_an_answer_counts(tmp_path: Path) -> None:
    path = tmp_path / "marks.jsonl"
    for row in (mark("a", "good"), mark("b", "bad"), mark("a", "edited", "better"), mark("b", "none")):
        add_mark(path, row)
    assert {name: (found.mark, found.text) for name, found in read_marks(path).items()} == {"a": ("edited", "better")}


def test_undo_takes_the_last_row_until_none_is_left(tmp_path: Path) -> None:
    path = tmp_path / "marks.jsonl"
    rows = [mark("a", "good"), mark("a", "bad")]
    for row in rows:
        add_mark(path, row)
    assert undo(path) == rows[1] and read_marks(path) == {"a": rows[0]}
    assert undo(path) == rows[0] and undo(path) is None and read_log(path) == []


def test_rows_of_earlier_versions_are_good_and_bad(tmp_path: Path) -> None:
    path = tmp_path / "marks.jsonl"
    rows = [
        {"answer_id": f"a{n}", "prompt_id": "p", "filter": "person", "keep": keep, "reason": "r", "schema": 1}
        for n, keep in enumerate((True, False))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert {name: found.mark for name, found in read_marks(path).items()} == {"a0": "good", "a1": "bad"}


@pytest.mark.parametrize(("said", "text"), [("edited", None), ("edited", "  "), ("good", "a text")])
def test_only_an_edited_answer_has_a_text(said: str, text: str | None) -> None:
    with pytest.raises(ValidationError, match="an edited answer"):
        mark("a", said, text)


def test_a_bad_row_names_file_line_and_field(tmp_path: Path) -> None:
    path = tmp_path / "marks.jsonl"
    path.write_text('{"answer_id": "a", "prompt_id": "p", "mark": "great", "created": "c"}\n')
    with pytest.raises(UserError, match=r"marks\.jsonl, line 1: field 'mark'"):
        read_marks(path)
