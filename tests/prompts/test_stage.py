"""The stage `prompts`: every format becomes the same records, and every fault costs one paragraph."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from distil.errors import UserError
from distil.prompts.config import PromptsConfig
from distil.prompts.stage import run
from distil.records import Prompt
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records
from distil.runs.manifest import read_manifest, stage_state


def load(folder: Path, name: str, text: str | None = None, system: str | None = None) -> list[Prompt]:
    if text is not None:
        (folder / name).write_text(text, encoding="utf-8")
    project = Project(folder)
    run(project, PromptsConfig(path=name, system=system))
    return list(read_records(project.prompts, Prompt))


def lines(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_jsonl_lines_become_prompts_with_all_fields(tmp_path: Path) -> None:
    schema = {"type": "json_object"}
    first, second = load(
        tmp_path,
        "p.jsonl",
        lines(
            {"prompt": "hello", "reference": {"b": 1, "a": 2}, "group": 7, "split": "test"},
            {
                "messages": [{"role": "user", "content": "hi"}],
                "tools": [{"type": "function"}],
                "response_format": schema,
            },
        ),
    )
    assert first.messages[0].text == "hello"
    assert (first.reference, first.group, first.split) == ('{"a":2,"b":1}', "7", "test")
    assert second.response_format == schema and second.tools == [{"type": "function"}]


def test_the_system_prompt_is_added_only_where_missing(tmp_path: Path) -> None:
    own = [{"role": "system", "content": "own"}, {"role": "user", "content": "b"}]
    first, second = load(tmp_path, "p.jsonl", lines({"prompt": "a"}, {"messages": own}), system="house")
    assert [m.text for m in first.messages] == ["house", "a"]
    assert [m.text for m in second.messages] == ["own", "b"]


def test_every_text_format_gives_the_same_ids(tmp_path: Path) -> None:
    expected = [p.id for p in load(tmp_path, "p.jsonl", lines({"prompt": "a, b"}, {"prompt": "c"}))]
    assert [p.id for p in load(tmp_path, "p.csv", 'text,category\n"a, b",x\nc,y\n')] == expected
    assert [p.id for p in load(tmp_path, "p.tsv", "prompt\tlabel\na, b\tx\nc\ty\n")] == expected
    assert [p.id for p in load(tmp_path, "p.txt", "a, b\n\nc\n")] == expected


def test_csv_columns_have_documented_aliases(tmp_path: Path) -> None:
    (prompt,) = load(tmp_path, "p.csv", "text,category\nWhere is my card?,card_arrival\n")
    assert prompt.messages[0].text == "Where is my card?" and prompt.reference == "card_arrival"


def test_parquet_and_dataset_folders_keep_splits_and_labels(tmp_path: Path) -> None:
    import datasets

    labels = datasets.ClassLabel(names=["bad", "good"])
    features = datasets.Features({"text": datasets.Value("string"), "label": labels})
    part = datasets.Dataset.from_dict({"text": ["one"], "label": [1]}, features=features)
    other = datasets.Dataset.from_dict({"text": ["two"], "label": [0]}, features=features)
    datasets.DatasetDict({"train": part, "test": other}).save_to_disk(str(tmp_path / "saved"))
    train, test = load(tmp_path, "saved")
    assert (train.reference, train.split, test.reference, test.split) == ("good", None, "bad", "test")
    part.to_parquet(str(tmp_path / "p.parquet"))
    (prompt,) = load(tmp_path, "p.parquet")
    assert prompt.messages[0].text == "one"


def test_only_finetuning_lines_give_a_reference(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "q"}]
    answer = {"role": "assistant", "content": "a"}
    chat, logged, batch = load(
        tmp_path,
        "log.jsonl",
        lines(
            {"messages": [*turns, answer]},
            {"request": {"model": "m", "messages": [{"role": "user", "content": "q2"}]}, "response": {"choices": []}},
            {
                "custom_id": "1",
                "url": "/v1/chat/completions",
                "body": {"messages": [{"role": "user", "content": "q3"}]},
            },
        ),
    )
    assert [m.text for m in chat.messages] == ["q"] and chat.reference == "a"
    assert logged.messages[0].text == "q2" and logged.reference is None
    assert batch.messages[0].text == "q3"


def test_repeated_prompts_are_merged_and_counted(tmp_path: Path) -> None:
    text = lines({"prompt": "a"}, {"prompt": "b"}, {"prompt": "a", "reference": "r"}, {"prompt": "a", "reference": "s"})
    prompts = load(tmp_path, "p.jsonl", text)
    assert [p.reference for p in prompts] == ["r", None]
    manifest = read_manifest(Project(tmp_path), "prompts")
    assert manifest is not None
    assert (manifest.notes["read"], manifest.notes["duplicates"], manifest.notes["conflicting_references"]) == (4, 2, 1)


def test_groups_that_share_a_prompt_become_one_group(tmp_path: Path) -> None:
    prompts = load(
        tmp_path,
        "p.jsonl",
        lines(
            {"prompt": "a", "group": "1"},
            {"prompt": "b", "group": "2"},
            {"prompt": "a", "group": "2"},
            {"prompt": "c", "group": "3"},
            {"prompt": "b", "group": "3"},
        ),
    )
    assert {p.group for p in prompts} == {"1"}


def test_unused_columns_are_reported_not_refused(tmp_path: Path) -> None:
    load(
        tmp_path,
        "p.jsonl",
        lines({"prompt": "a", "text": "old " * 50, "prompt_id": 3}, {"prompt": "b", "prompt_id": 4}),
    )
    manifest = read_manifest(Project(tmp_path), "prompts")
    assert manifest is not None and manifest.notes["kept_columns"] == {"prompt_id": 2}
    assert manifest.notes["not_used"] == {"text": 1}


def test_a_changed_source_makes_the_stage_stale(tmp_path: Path) -> None:
    load(tmp_path, "p.txt", "a\n")
    assert stage_state(Project(tmp_path), "prompts")[0] == "done"
    (tmp_path / "p.txt").write_text("b\n")
    assert stage_state(Project(tmp_path), "prompts")[0] == "stale"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("p.jsonl", '{"prompt": "a"}\n{"prompt": \n', r"p\.jsonl, line 2: not valid JSON"),
        ("p.jsonl", '{"prompt": "  "}\n', r"line 1: field 'prompt': found an empty text"),
        ("p.jsonl", '{"prompt": null}\n', r"line 1: field 'prompt': found null"),
        ("p.jsonl", '{"promt": "a"}\n', r"line 1: unknown key 'promt'\. Did you mean 'prompt'\?"),
        ("p.jsonl", '{"id": 3}\n', r"line 1: found no prompt \(keys: id\)"),
        ("p.jsonl", '{"messages": []}\n', r"line 1: field 'messages': found an empty list"),
        ("p.jsonl", '{"messages": [{"role": "usr", "content": "a"}]}\n', r"line 1: field 'messages\.0': field 'role'"),
        ("p.jsonl", '{"messages": [{"role": "assistant", "content": "a"}]}\n', r"line 1: .* no turn with text"),
        ("p.jsonl", '{"prompt": "a", "split": "dev"}\n', r"line 1: field 'split': found 'dev'"),
        ("p.jsonl", '{"prompt": "a", "tools": "x"}\n', r"line 1: field 'tools'"),
        ("p.jsonl", "", r"contains no prompts"),
        ("p.txt", "\n \n", r"contains no prompts"),
        ("p.csv", "prompt\na,b\n", r"line 2: found more cells"),
        ("p.csv", "id\n3\n", r"line 2: found no prompt"),
        ("p.csv", 'prompt\n"a\n', r"not valid CSV"),
        ("p.docx", "a", r"found a \.docx file, expected one of \.jsonl"),
        ("p.parquet", "nonsense", r"not a readable Parquet file"),
    ],
)
def test_a_broken_source_is_refused_with_line_and_field(tmp_path: Path, name: str, text: str, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        load(tmp_path, name, text)
    assert read_manifest(Project(tmp_path), "prompts") is None


def test_a_missing_file_suggests_the_closest_name(tmp_path: Path) -> None:
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "a"}\n')
    with pytest.raises(UserError, match=r"Did you mean 'prompts\.jsonl'\?"):
        load(tmp_path, "promts.jsonl")
    with pytest.raises(UserError, match="neither does the folder"):
        load(tmp_path, "nowhere/prompts.jsonl")


def test_contradictory_splits_of_one_prompt_are_refused(tmp_path: Path) -> None:
    text = lines({"prompt": "a", "split": "train"}, {"prompt": "a", "split": "test"})
    with pytest.raises(UserError, match=r"line 2: split 'test', but .*line 1 has the same prompt"):
        load(tmp_path, "p.jsonl", text)


def test_non_utf8_files_and_foreign_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(UserError, match="not UTF-8"):
        load(tmp_path, "p.txt")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="`datasets` did not write"):
        load(tmp_path, "folder")


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"pip install 'distil\[data\]'"):
        load(tmp_path, "p.parquet", "x")
