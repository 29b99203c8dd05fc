"""Nothing that a file may hold ends in a traceback: a row is read, or refused in one paragraph that names it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distil.calls.providers.recorded import RecordedProvider
from distil.collect.logs import read_logs
from distil.errors import UserError
from distil.prompts.config import PromptsConfig
from distil.prompts.rows import to_prompt
from distil.prompts.stage import run
from distil.runs.artifacts import Project
from distil.runs.jsonl import record_line
from distil.sources.files import open_source
from distil.sources.rows import read_row
from distil.sources.values import Row
from distil.text import whole
from tests.sources.shapes import DATA, LOGS

SCALARS = st.one_of(
    *(st.none(), st.booleans(), st.integers(-3, 600), st.floats(), st.text(max_size=8)),
    st.sampled_from(
        ["user", "assistant", "", "Hi?", "\ud83d", '{"a": 1}', "[]", '[{"role": "user"}]', "data: {", "\0"]
    ),
)


def words(value: object) -> set[str]:
    """Every key in the known shapes: what a mutated row is likeliest to go wrong by."""
    if isinstance(value, dict):
        return {str(key) for key in value}.union(*map(words, value.values()))
    return set().union(*map(words, value)) if isinstance(value, list) else set()


KEYS = st.sampled_from(sorted(words({**LOGS, **DATA}) | {"prompt", "image", "type", "parts", "id", "0"}))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A row of a known shape with one place replaced by anything."""
    row = json.loads(json.dumps(draw(st.sampled_from([*LOGS.values(), *DATA.values()]))))
    node: Any = row
    while True:
        key = draw(st.sampled_from(sorted(node)) if isinstance(node, dict) else st.integers(0, len(node) - 1))
        if isinstance(node[key], (dict, list)) and node[key] and draw(st.booleans()):
            node = node[key]
        else:
            node[key] = draw(VALUES)
            return row  # type: ignore[no-any-return]


BROKEN = [b"\x1f\x8b\x08\0broken", b"BZh91AY&SYbroken", b"\xfd7zXZ\0\0", b"\x28\xb5\x2f\xfd\0\0", b"PAR1", b"[" * 3000]


@settings(max_examples=120, deadline=None)
@given(st.one_of(st.dictionaries(KEYS, VALUES, max_size=5), mutated()))
def test_any_row_is_read_or_refused_by_its_place(fields: dict[str, Any]) -> None:
    row = Row("f.jsonl, line 7", fields)
    exchange = read_row(row)
    assert exchange.where == row.where
    try:
        loaded = to_prompt(row, "Be brief.")
    except UserError as error:
        assert "f.jsonl, line 7" in str(error) and "\n" not in str(error).strip()
    else:
        assert (loaded.prompt is None) == (loaded.skipped is not None)
        assert loaded.prompt is None or whole(record_line(loaded.prompt)).encode("utf-8")


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([".jsonl", ".json", ".csv", ".tsv", ".txt", ".gz", ".jsonl.gz", ".parquet", ""]),
    st.one_of(
        st.binary(max_size=60),
        st.text(alphabet='{}[]",:\n\r\t;|ab\ufeff\\ud83"', max_size=60).map(
            lambda text: text.encode("utf-8", "surrogatepass")
        ),
        st.text(max_size=30).map(lambda text: text.encode("utf-16", "surrogatepass")),
        mutated().map(lambda row: json.dumps([row, row], indent=1).encode()),
        mutated().map(lambda row: json.dumps(row).encode()[:-3]),
        st.sampled_from(
            [
                b"\x1f\x8b\x08\0broken",
                b"BZh91AY&SYbroken",
                b"\xfd7zXZ\0\0",
                b"\x28\xb5\x2f\xfd\0\0",
                b"PAR1",
                b"[" * 3000,
            ]
        ),
    ),
)
def test_any_bytes_are_read_or_refused_in_one_paragraph(suffix: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"p{suffix}"
        path.write_bytes(content)
        for use in (_as_prompts, _as_log, _as_teacher):
            try:
                use(path)
            except UserError as error:
                assert path.name in str(error)


def _as_prompts(path: Path) -> None:
    run(Project(path.parent), PromptsConfig(path=path.name))


def _as_log(path: Path) -> None:
    for line in read_logs([path]):
        assert line.where


def _as_teacher(path: Path) -> None:
    assert RecordedProvider(path.name, path.parent).identity()


def test_half_a_surrogate_pair_is_replaced_and_counted(tmp_path: Path) -> None:
    cell = '"[{""role"": ""user"", ""content"": ""bad \\ud83d""}]"'
    (tmp_path / "p.csv").write_text(f"messages\n{cell}\n")
    assert run(Project(tmp_path), PromptsConfig(path="p.csv")).not_used == {
        "characters that could not be read (U+FFFD)": 1
    }
    (tmp_path / "p.jsonl").write_text(
        '{"prompt": "bad \\ud83d"}\n{"prompt": "good"}\n{"prompt": "a", "reference": "\\ude00"}\n'
    )
    result = run(Project(tmp_path), PromptsConfig(path="p.jsonl"))
    assert result.prompts == 3 and result.not_used == {"characters that could not be read (U+FFFD)": 1}
    assert "bad \ufffd" in Project(tmp_path).prompts.read_text(encoding="utf-8")


def test_deep_nesting_is_refused_and_no_crash(tmp_path: Path) -> None:
    for name, text in (("a.jsonl", '{"a":' * 3000), ("b.json", "[" * 5000), ("c.json", '{"data":[' * 2000)):
        (tmp_path / name).write_text(text)
        with pytest.raises(UserError, match=name):
            list(open_source(tmp_path / name))
