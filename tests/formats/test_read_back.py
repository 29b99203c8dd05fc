"""What is exported is read as prompts and logs are: the reader of distil.sources finds the same question and answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings

from distil.formats import FORMATS, find_format
from distil.formats.convert import convert
from distil.formats.rows import LeftOut, Row
from distil.formats.wire import turn_wire
from distil.formats.write import encode, write_file
from distil.records import Message
from distil.sources.files import open_source
from distil.sources.rows import read_row
from distil.sources.values import Row as Source
from distil.text import load_json
from tests.formats.material import GALLERY, PLAIN, turn
from tests.formats.test_round_trip import rows

BARE = PLAIN._replace(messages=PLAIN.messages[1:], key="bare")


def same_exchange(source: Source, row: Row, *, weights: bool) -> None:
    """Question and answer are those of the row; a format of pairs and completions keeps no weights."""
    found = read_row(source)
    asked = [turn_wire(t if weights else t.model_copy(update={"weight": None})) for t in row.asked]
    assert [turn_wire(t) for t in found.messages()] == asked
    assert found.answer is not None, found.problem
    answer = found.answer.parsed
    assert answer.text == row.answer.text and answer.reasoning == row.answer.reasoning_content
    assert [c["function"] for c in answer.tool_calls or []] == [c["function"] for c in row.answer.tool_calls or []]
    assert bool(found.asked and found.asked.tools) == bool(row.tools)


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "dpo"])
def test_an_exported_file_is_a_source_of_prompts(name: str, tmp_path: Path) -> None:
    form = find_format(name)
    lines = []
    held = []
    for row in (*GALLERY, BARE):
        given_row = row._replace(rejected=turn("assistant", "something else")) if form.pairs else row
        line = convert(form, given_row)
        if not isinstance(line, LeftOut):
            lines.append(line)
            held.append(row)
    path = tmp_path / f"train{form.suffix}"
    write_file(form, path, lines)
    weights = form.holds.weight and form.holds.trained == "all"
    for source, row in zip(open_source(path), held, strict=True):
        same_exchange(source, row, weights=weights)


@settings(max_examples=60, deadline=None)
@given(row=rows())
def test_any_conversation_is_read_back_from_a_line(row: Row) -> None:
    for name in ("openai", "sharegpt", "alpaca"):
        line = convert(find_format(name), row._replace(rejected=None))
        if isinstance(line, LeftOut):
            continue
        fields = load_json(encode(line))
        assert isinstance(fields, dict)
        same_exchange(Source("here", fields), row, weights=name == "openai")


def test_a_row_of_one_word_is_no_exception() -> None:
    row = Row([Message(role="user", content="null"), Message(role="assistant", content="{}")])
    for name in ("openai", "sharegpt", "alpaca"):
        line = convert(find_format(name), row)
        assert not isinstance(line, LeftOut)
        same_exchange(Source("here", dict(line)), row, weights=False)  # type: ignore[arg-type]


@pytest.mark.parametrize("told", ["0\r", "  Be kind.\n"])
def test_blanks_around_instructions_are_read_back(told: str) -> None:
    row = Row(
        [
            Message(role="system", content=told),
            Message(role="user", content="0"),
            Message(role="assistant", content="0"),
        ]
    )
    for name in ("openai", "sharegpt", "alpaca"):
        same_exchange(Source("here", dict(convert(find_format(name), row))), row, weights=False)  # type: ignore[arg-type]
