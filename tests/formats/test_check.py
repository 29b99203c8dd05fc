"""Files are checked as their readers would: shape, limits, encoding; ours and other people's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from distil.errors import UserError
from distil.formats import FORMATS, find_format
from distil.formats.check import check_file, check_lines
from distil.formats.convert import convert_rows
from distil.formats.write import write_file
from tests.formats.material import MANY, PLAIN, row, turn


@pytest.mark.parametrize("name", FORMATS)
def test_what_we_write_passes_the_check(name: str, tmp_path: Path) -> None:
    form = find_format(name)
    rows = [PLAIN._replace(messages=PLAIN.messages[1:])] * 12 if name == "prompt_completion" else [PLAIN, MANY] * 10
    if form.pairs:
        rows = [r._replace(rejected=turn("assistant", "five")) for r in rows]
    lines = convert_rows(form, rows).lines
    path = tmp_path / f"train{form.suffix}"
    size = write_file(form, path, lines)
    report = check_file(form, path)
    assert report.errors == [] and report.rows == len(lines) > 9
    assert report.bytes == size == path.stat().st_size
    assert report.tokens > 10 * report.rows > 0 and report.counted == "estimated"
    assert check_lines(form, lines).tokens == report.tokens
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_azure_files_start_with_a_byte_order_mark(tmp_path: Path) -> None:
    lines = convert_rows(find_format("azure"), [PLAIN] * 10).lines
    path = tmp_path / "train.jsonl"
    write_file(find_format("azure"), path, lines)
    assert path.read_bytes().startswith(b"\xef\xbb\xbf{")
    assert json.loads(path.read_text(encoding="utf-8-sig").splitlines()[0]) == lines[0]
    assert "byte order mark" in check_file(find_format("openai"), path).errors[0]
    write_file(find_format("openai"), path, lines)
    assert "byte order mark" in check_file(find_format("azure"), path).errors[0]


def test_too_few_examples_are_an_error_for_training_alone() -> None:
    form = find_format("openai")
    lines = convert_rows(form, [PLAIN] * 4).lines
    assert check_lines(form, lines).errors == ["4 examples, at least 10 are needed"]
    assert check_lines(form, lines, "validation").errors == []
    assert check_lines(form, [], "validation").errors == ["it has no rows"]
    with pytest.raises(UserError, match=r"train\.jsonl is not what openai takes: 4 examples"):
        check_lines(form, lines).require("train.jsonl")


def test_rows_over_the_token_limit_go_or_are_a_warning() -> None:
    form = find_format("openai")
    long = row(turn("user", "word " * 200_000), turn("assistant", "ok"))
    near = row(turn("user", "word " * 65_000), turn("assistant", "ok"))
    done = convert_rows(form, [long, near, *[PLAIN] * 10])
    assert [row.reason for row in done.left_out] == ["more than 65,536 tokens"]
    report = check_lines(form, [form.to_line(long), *done.lines])
    assert report.errors == ["1 rows have more than 65,536 tokens"]
    assert report.warnings == ["1 rows may have more than 65,536 tokens (estimated)"]
    exact = check_lines(
        form, convert_rows(form, [near, *[PLAIN] * 10]).lines, count=lambda text: len(text.split()), counted="x"
    )
    assert exact.errors == [] and exact.counted == "x"


BAD = {
    '{"messages": [{"role": "user", "content": "a"}]}': "the last turn is not the assistant's",
    '{"messages": "hello"}': "no list of messages",
    '{"prompt": "a", "completion": "b"}': "the column 'messages' is missing",
    '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "metadata": {}}': "'metadata'",
    '{"messages": [{"role": "user", "content": "a"}, {"role": "bot", "content": "b"}]}': "message 2 is not a turn",
    '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 2}]}': "message 2",
    '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weigth": 1}]}': "the key 'weigth'",
    '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": [{"id": "1"}]}]}': "without the name",
    "[1, 2]": "not a JSON object",
    '{"messages": [': "not a JSON object",
}


@pytest.mark.parametrize("bad", BAD)
def test_a_line_of_somebody_else_is_refused_with_its_number(bad: str, tmp_path: Path) -> None:
    good = json.dumps({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})
    path = tmp_path / "train.jsonl"
    path.write_text("\n".join([good] * 10 + [bad]) + "\n")
    (error,) = check_file(find_format("openai"), path).errors
    assert BAD[bad] in error and "line 11" in error


def test_separators_of_unicode_do_not_break_a_line(tmp_path: Path) -> None:
    form, said = find_format("openai"), "one\u2028two\u2029three\x85four"
    path = tmp_path / "train.jsonl"
    write_file(form, path, convert_rows(form, [row(turn("user", said), turn("assistant", "x"))]).lines)
    (line,) = path.read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["messages"][0]["content"] == said
