"""`distil init --prompts FILE`: what is wrong with the file is said at once, and nothing is made."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from distil.cli.init import command
from distil.errors import UserError


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("none.jsonl", None, r"none\.jsonl does not exist"),
        ("p.jsonl", b"", "contains no prompts"),
        ("p.jsonl", b'{"prompt": "a"}\n{"prompt": \n', "line 2: not valid JSON"),
        ("p.csv", b"prompt\ncaf\xe9\n", "line 2 is not UTF-8 text"),
        ("p.jsonl.gz", gzip.compress(b'{"prompt": "a"}\n' * 99, mtime=0)[:-9], "damaged or cut off"),
        ("p.json", b'[{"prompt": "a", "images": ["x.png"]}]', "item 1: field 'images' holds an image"),
        ("p.xlsx", b"PK", "CSV UTF-8"),
    ],
)
def test_a_bad_prompt_file_is_refused_at_once(
    name: str, content: bytes | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=expected):
        CliRunner().invoke(command, ["task", "--prompts", name], catch_exceptions=False)
    assert not (tmp_path / "task").exists()


def test_a_setting_decides_how_the_file_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{"prompt": "a"}, {"prompt": "b", "images": ["x.png"]}]
    (tmp_path / "p.json").write_text(json.dumps(rows))
    arguments = ["task", "--prompts", "p.json", "--set", "prompts.attachments=leave_out"]
    assert CliRunner().invoke(command, arguments, catch_exceptions=False).exit_code == 0
    assert "attachments: leave_out" in (tmp_path / "task" / "distil.yaml").read_text()
