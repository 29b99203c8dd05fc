"""Public reports of prompt files that tools of this field refuse or read wrongly: marks, encodings, separators, odd turns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from distil.errors import UserError
from distil.prompts.config import PromptsConfig
from distil.prompts.stage import run
from distil.records import Prompt
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records


def load(folder: Path, name: str, raw: bytes) -> list[Prompt]:
    (folder / name).write_bytes(raw)
    run(Project(folder), PromptsConfig(path=name))
    return list(read_records(Project(folder).prompts, Prompt))


def texts(prompts: list[Prompt]) -> list[str]:
    return [prompt.messages[-1].text for prompt in prompts]


ROWS = '{"prompt": "Where is my order?"}\n{"prompt": "Köln, 5 €?"}\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_file_is_read_in_the_encoding_it_is_in(encoding: str, tmp_path: Path) -> None:
    """public-bugs 20: ragflow #19179 (a UTF-8 byte order mark was refused); and UTF-16, as Excel and PowerShell write it."""
    assert texts(load(tmp_path, "p.jsonl", ROWS.encode(encoding))) == ["Where is my order?", "Köln, 5 €?"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", ["p.csv", "p.tsv", "p.txt"])
def test_tables_and_texts_are_read_so_too(name: str, encoding: str, tmp_path: Path) -> None:
    rows = "Köln\nBonn\n" if name == "p.txt" else "prompt\nKöln\nBonn\n"
    assert texts(load(tmp_path, name, rows.encode(encoding))) == ["Köln", "Bonn"]


def test_another_encoding_is_refused_with_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not UTF-8 text.*iconv"):
        load(tmp_path, "p.jsonl", ROWS.encode("cp1252"))


def test_half_a_surrogate_pair_is_read(tmp_path: Path) -> None:
    """public-bugs 20: claude-code-log #139 (`prompts load` ended in a UnicodeEncodeError); U+FFFD stands for what is lost."""
    raw = b'{"prompt": "half \\ud83d pair"}\n{"prompt": "whole \\ud83d\\ude00"}\n{"prompt": "kept", "tag": "\\udc00"}\n'
    assert texts(load(tmp_path, "p.jsonl", raw)) == ["half \ufffd pair", "whole \U0001f600", "kept"]


def test_line_ends_inside_of_a_text_make_no_new_row(tmp_path: Path) -> None:
    """public-bugs 24: OpenViking #3984 (U+2028 or NEL inside of a JSONL row split it)."""
    prompt = "one\u2028two\u2029three\x85four\x0bfive\x0csix"
    raw = json.dumps({"prompt": prompt, "reference": "a\u2028b"}, ensure_ascii=False).encode() + b"\n"
    (found,) = load(tmp_path, "p.jsonl", raw * 2)
    assert found.messages[-1].text == prompt and found.reference == "a\u2028b"


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_a_table_is_read_with_its_own_separator(separator: str, tmp_path: Path) -> None:
    """Excel writes `;` where the comma is decimal (public-bugs, further shapes)."""
    rows = [["prompt", "reference"], ['"Costs 1,50; why?"', '"a,b;c"'], ["Plain", "yes"]]
    raw = "\r\n".join(separator.join(row) for row in rows).encode()
    prompts = load(tmp_path, "p.csv", raw)
    assert texts(prompts) == ["Costs 1,50; why?", "Plain"] and [p.reference for p in prompts] == ["a,b;c", "yes"]


TURN = {"role": "assistant", "content": "In the post."}
WHOLE = [{"role": "user", "content": "Where is it?"}, TURN, {"role": "user", "content": "And now?"}]


@pytest.mark.parametrize(
    "added",
    [
        {"refusal": None},
        {"refusal": None, "annotations": [], "audio": None, "function_call": None, "tool_calls": None},
        {"tool_calls": [], "reasoning": "hm", "reasoning_details": [{"text": "hm"}]},
        {"id": "msg_1", "created_at": 17, "status": "completed", "finish_reason": "stop", "metadata": {"a": 1}},
        {"name": None, "weight": None, "tool_call_id": None},
    ],
)
def test_what_replies_add_to_a_turn_is_left_out(added: dict[str, object], tmp_path: Path) -> None:
    """public-bugs 21: copilot-sdk #2061 (an assistant turn with `refusal: null` was refused)."""
    row = {"messages": [WHOLE[0], TURN | added, WHOLE[2]]}
    (prompt,) = load(tmp_path, "p.jsonl", json.dumps(row).encode() + b"\n")
    assert [(m.role, m.text) for m in prompt.messages] == [(m["role"], m["content"]) for m in WHOLE]
    assert not prompt.messages[1].tool_calls


def test_a_refusal_is_the_text_of_its_turn(tmp_path: Path) -> None:
    row = {"messages": [WHOLE[0], {"role": "assistant", "content": None, "refusal": "I can't."}, WHOLE[2]]}
    (prompt,) = load(tmp_path, "p.jsonl", json.dumps(row).encode())
    assert prompt.messages[1].text == "I can't."


def test_old_function_calls_are_tool_calls(tmp_path: Path) -> None:
    call = {"name": "find", "arguments": '{"order": 17}'}
    turns = [
        WHOLE[0],
        {"role": "assistant", "content": None, "function_call": call},
        {"role": "function", "name": "find", "content": "sent"},
    ]
    (prompt,) = load(tmp_path, "p.jsonl", json.dumps({"messages": turns}).encode())
    made = prompt.messages[1].tool_calls
    assert made is not None and made[0]["function"] == call and prompt.messages[2].tool_call_id == made[0]["id"]


@pytest.mark.parametrize("wrong", ["contnet", "contents", "tool_cals"])
def test_a_misspelled_field_of_a_turn_does_not_vanish(wrong: str, tmp_path: Path) -> None:
    row = {"messages": [WHOLE[0], TURN, {"role": "user", "content": "x", wrong: "y"}]}
    with pytest.raises(UserError, match=wrong):
        load(tmp_path, "p.jsonl", json.dumps(row).encode())
