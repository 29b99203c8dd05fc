"""`distil export --check`: a file of anybody, against the rules of a format."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from distil.cli.main import cli


def check(path: Path, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["export", "--check", str(path), *arguments], catch_exceptions=True)
    return done.exit_code, done.output + str(done.exception or "")


def test_a_file_of_anybody_is_checked_without_a_project(tmp_path: Path) -> None:
    line = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    path = tmp_path / "mine.jsonl"
    path.write_text((json.dumps(line) + "\n") * 12)
    code, said = check(path, "--data", "openai")
    assert code == 0 and "12" in said and "fits openai" in said
    path.write_text((json.dumps(line | {"extra": 1}) + "\n") * 12)
    code, said = check(path, "--data", "openai")
    assert code != 0 and "'extra'" in said and "12 rows: line 1, 2, 3" in said
    code, said = check(path, "--data", "opnai")
    assert code != 0 and "Did you mean 'openai'" in said
    code, said = check(path)
    assert code != 0 and "by which rules" in said
