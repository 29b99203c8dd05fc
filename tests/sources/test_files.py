"""Every container gives the same rows, and every broken one is refused with its place."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distil.errors import UserError
from distil.prompts.config import PromptsConfig
from distil.prompts.stage import PromptsResult, check, run
from distil.records import Prompt
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records
from distil.sources.files import Notes, open_source

ROWS = [{"prompt": "Where is my card, please?", "answer": "In the mail."}, {"prompt": "多少钱？ 5 €", "answer": "“5”"}]


def json_lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def table(separator: str) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, ["prompt", "answer"], delimiter=separator)
    writer.writeheader()
    writer.writerows(ROWS)
    return file.getvalue()


def load(folder: Path, name: str, content: bytes | str, **options: Any) -> tuple[PromptsResult, list[Prompt]]:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    project = Project(folder)
    result = run(project, PromptsConfig(path=name, **options))
    return result, list(read_records(project.prompts, Prompt))


def zstandard(data: bytes) -> bytes:
    import pyarrow

    return bytes(pyarrow.Codec("zstd").compress(data, asbytes=True))


PLAIN = json_lines(ROWS)
CONTAINERS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "JSON Lines": ("p.jsonl", PLAIN.encode),
    "with a byte order mark": ("p.jsonl", lambda: PLAIN.encode("utf-8-sig")),
    "with CRLF and blank lines": ("p.jsonl", lambda: PLAIN.replace("\n", "\r\n\r\n").encode()),
    "without a last line break": ("p.ndjson", lambda: PLAIN.rstrip().encode()),
    "JSON Lines in UTF-16": ("p.jsonl", lambda: PLAIN.encode("utf-16")),
    "JSON Lines called .json": ("p.json", PLAIN.encode),
    "a list": ("p.json", lambda: json.dumps(ROWS).encode()),
    "an indented list with a mark": ("p.json", lambda: json.dumps(ROWS, indent=2).encode("utf-8-sig")),
    "a list called .jsonl": ("p.jsonl", lambda: json.dumps(ROWS).encode()),
    "indented objects": ("p.json", lambda: "\n".join(json.dumps(row, indent=2) for row in ROWS).encode()),
    "an object with rows": ("p.json", lambda: json.dumps({"version": 1, "data": ROWS}, indent=1).encode()),
    "an object with rows on one line": ("p.json", lambda: json.dumps({"rows": ROWS}).encode()),
    "a page of the datasets server": (
        "p.json",
        lambda: json.dumps({"rows": [{"row_idx": 0, "row": row} for row in ROWS]}).encode(),
    ),
    "no suffix": ("prompts", PLAIN.encode),
    "gzip": ("p.jsonl.gz", lambda: gzip.compress(PLAIN.encode())),
    "gzip without saying so": ("p.jsonl", lambda: gzip.compress(PLAIN.encode())),
    "bzip2": ("p.jsonl.bz2", lambda: bz2.compress(PLAIN.encode())),
    "xz": ("p.json.xz", lambda: lzma.compress(json.dumps(ROWS).encode())),
    "zstandard": ("p.jsonl.zst", lambda: zstandard(PLAIN.encode())),
    "comma": ("p.csv", lambda: table(",").encode()),
    "semicolon": ("p.csv", lambda: table(";").encode("utf-8-sig")),
    "bar": ("p.csv", lambda: table("|").encode()),
    "tab called .csv": ("p.csv", lambda: table("\t").encode("utf-16")),
    "tab": ("p.tsv", lambda: table("\t").encode()),
    "sep=": ("p.csv", lambda: ("sep=;\r\n" + table(";")).encode()),
    "CSV in gzip": ("p.csv.gz", lambda: gzip.compress(table(",").encode())),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_gives_the_same_prompts(name: str, tmp_path: Path) -> None:
    file, content = CONTAINERS[name]
    result, prompts = load(tmp_path, file, content())
    assert [(prompt.messages[0].text, prompt.reference) for prompt in prompts] == [tuple(row.values()) for row in ROWS]
    assert result.not_used == result.passed_over == result.remarks == {}


def test_parquet_keeps_nested_turns_and_nan_is_absent(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    turns = [[{"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": "a"}] for n in range(3)]
    table = pa.table({"messages": turns, "score": [1.0, float("nan"), None]})
    parquet.write_table(table, tmp_path / "p.parquet")
    result = run(Project(tmp_path), PromptsConfig(path="p.parquet"))
    assert (result.prompts, result.with_reference, result.kept_columns) == (3, 3, {"score": 1})


def test_class_labels_of_parquet_become_their_names(tmp_path: Path) -> None:
    import datasets

    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "good"])}
    )
    datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features=features).to_parquet(
        str(tmp_path / "p.parquet")
    )
    run(Project(tmp_path), PromptsConfig(path="p.parquet"))
    assert [prompt.reference for prompt in read_records(Project(tmp_path).prompts, Prompt)] == ["good", "bad"]


def test_a_long_list_is_read_piece_by_piece(tmp_path: Path) -> None:
    rows = [{"prompt": f"{n} " + "x" * 400} for n in range(8_000)]
    (tmp_path / "p.json").write_text(json.dumps(rows))
    found = open_source(tmp_path / "p.json")
    assert next(found).where.endswith("p.json, item 1")
    last = list(found)[-1]
    assert last.where.endswith("item 8000") and last.fields == rows[-1]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("p.json", '[{"prompt": "a"}, {"prompt": ]', r"p\.json, line 1: not valid JSON .* in item 2"),
        ("p.json", '[\n{"prompt": "a"}\n{"prompt": "b"}]', r"line 3: not valid JSON .found '\{' after item 1"),
        ("p.json", '[{"prompt": "a"}', "the file ends after item 1"),
        ("p.json", '[{"prompt": "a"}] x', "found more after the end of the list"),
        ("p.json", '[{"prompt": "a"}, 7]', r"item 2: found a JSON int"),
        ("p.json", '[{"prompt": "a"}, {"prompt": " "}]', r"item 2: field 'prompt': found an empty text"),
        ("p.json", '{\n"prompt": "a",\n}', r"line 3: not valid JSON"),
        ("p.jsonl", '{"prompt":\n', r"line 1: not valid JSON .* at column"),
        ("p.json", "[]", "contains no prompts"),
        ("p.jsonl.gz", gzip.compress(PLAIN.encode(), mtime=0)[:-12], "gzip data is damaged or cut off"),
        ("p.csv", "prompt,prompt\na,b,c\n", r"line 2: found more cells than the header's 2 columns"),
        ("p.csv", b"prompt\ngood\ncaf\xe9\n", r"line 3 is not UTF-8 text .*iconv -f WINDOWS-1252"),
        ("p.jsonl", "\ufeffx".encode("utf-16")[:-1] + b"\xd8\xd8", "UTF-16"),
        ("p.xlsx", b"PK\x03\x04", "save it as `CSV UTF-8`"),
        ("p.zip", b"PK\x03\x04", "Unpack it first"),
        (
            "p.csv",
            "id,note\n1,x\n",
            r"line 2: found no prompt \(keys: id, note\); the first line of a table names its columns",
        ),
        ("p.jsonl", '{"prompt": "a", "reference": {"x": NaN}}\n', r"line 1: field 'reference': found a JSON dict"),
        (
            "p.jsonl",
            '{"custom_id": "1", "response": {"status_code": 200, "body": {}}}\n',
            "Name the batch's input file as prompts",
        ),
    ],
)
def test_a_broken_file_is_refused_with_its_place(
    name: str, content: bytes | str, expected: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=expected) as error:
        load(tmp_path, name, content)
    assert "\n" not in str(error.value)


def test_columns_are_found_in_any_case_and_none_hides_another(tmp_path: Path) -> None:
    text = "Prompt,PROMPT,User Query,Score,score\na,b,c,1,2\n"
    result, (prompt,) = load(tmp_path, "p.csv", text)
    assert prompt.messages[0].text == "a" and prompt.fields == {"Score": "1", "score": "2"}
    assert result.not_used == {"PROMPT": 1, "User Query": 1}
    result, (prompt,) = load(tmp_path, "q.csv", "prompt,prompt,label,label\na,b,x,y\n")
    assert (prompt.messages[0].text, prompt.reference) == ("a", "x")
    assert (result.kept_columns, result.not_used) == ({"label (2)": 1}, {"prompt (2)": 1})


def test_ragged_rows_and_second_texts_are_said(tmp_path: Path) -> None:
    long = "Also this text. " * 20
    result, _ = load(tmp_path, "p.csv", f"prompt,text,label\na,{long},x\nb\nc,,y,,\n")
    assert result.prompts == 3 and result.not_used == {"text": 1} and result.remarks == {"rows with too few cells": 1}
    shown = dict(result.rows())
    assert shown["not used"] == "text (1)" and shown["remarks"] == "rows with too few cells (1)"


def test_a_comma_in_the_text_is_no_separator(tmp_path: Path) -> None:
    text = "question;answer\nHello, how are you, today?;fine, thanks\nOne; two\n"
    _, prompts = load(tmp_path, "p.csv", text)
    assert [prompt.messages[0].text for prompt in prompts] == ["Hello, how are you, today?", "One"]


def test_nan_references_are_absent(tmp_path: Path) -> None:
    result, prompts = load(tmp_path, "p.jsonl", '{"prompt": "a", "reference": NaN}\n{"prompt": "b", "answer": NaN}\n')
    assert result.prompts == 2 and [prompt.reference for prompt in prompts] == [None, None]


def test_splits_inside_one_object_fix_the_split(tmp_path: Path) -> None:
    text = json.dumps({"train": [{"prompt": "a"}], "test": [{"prompt": "b"}], "dev": [{"prompt": "c"}]})
    _, prompts = load(tmp_path, "p.json", text)
    assert [(p.messages[0].text, p.split) for p in prompts] == [("a", None), ("b", "test"), ("c", "validation")]


def test_gsm8k_gives_the_final_answer_as_reference(tmp_path: Path, data_dir: Callable[[str], Path]) -> None:
    result = run(Project(tmp_path), PromptsConfig(path=str(data_dir("gsm8k/test.jsonl"))))
    first = next(iter(read_records(Project(tmp_path).prompts, Prompt)))
    assert (result.prompts, result.with_reference, first.reference) == (1_319, 1_319, "18")


def test_a_models_answer_is_no_reference_and_said(tmp_path: Path, data_dir: Callable[[str], Path]) -> None:
    result = run(Project(tmp_path), PromptsConfig(path=str(data_dir("alpaca_eval/gpt4.jsonl"))))
    assert result.with_reference == 0 and result.not_used == {"output": 805}


IMAGE = {
    "role": "user",
    "content": [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "data:"}}],
}
BLOCK = {
    "role": "user",
    "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "x"}}],
}
AUDIO = {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}}]}
FILE = {"role": "user", "content": [{"type": "input_file", "file_id": "f"}, {"type": "input_text", "text": "Read it."}]}


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"messages": [IMAGE]}, "field 'messages.0' holds an image"),
        ({"messages": [BLOCK]}, "field 'messages.0' holds an image"),
        ({"messages": [AUDIO]}, "field 'messages.0' holds an audio"),
        ({"request": {"input": [FILE]}}, "field 'messages.0' holds a file"),
        (
            {"contents": [{"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": "x"}}]}]},
            "holds an image",
        ),
        ({"prompt": "a", "image": {"bytes": "x", "path": "a.png"}}, "field 'image' holds an image"),
        (
            {"conversations": [{"from": "human", "value": "<image>"}], "images": ["a.png"]},
            "field 'images' holds an image",
        ),
    ],
)
def test_attachments_are_refused_by_name(row: dict[str, Any], what: str, tmp_path: Path) -> None:
    content = json_lines([{"prompt": "b"}, row])
    with pytest.raises(UserError, match=rf"line 2: .*{what}.*prompts\.attachments"):
        load(tmp_path, "p.jsonl", content)
    result, _ = load(tmp_path, "p.jsonl", content, attachments="leave_out")
    assert (result.prompts, sum(result.passed_over.values())) == (1, 1)
    kept, _ = load(tmp_path, "p.jsonl", content, attachments="keep")
    assert kept.prompts == 2 and list(kept.not_used.values()) != [] and "sent to the teacher only" in str(kept.not_used)


def test_checking_reads_all_rows_and_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text(PLAIN)
    assert check(tmp_path / "p.jsonl").prompts == 2 and [path.name for path in tmp_path.iterdir()] == ["p.jsonl"]
    (tmp_path / "p.jsonl").write_text(PLAIN + "{}\n")
    with pytest.raises(UserError, match="line 3: found no prompt"):
        check(tmp_path / "p.jsonl")


def test_notes_of_tables_are_counted(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("prompt,label\na\nb,x\n")
    notes = Notes()
    assert len(list(open_source(tmp_path / "p.csv", notes))) == 2 and notes == {"rows with too few cells": 1}
