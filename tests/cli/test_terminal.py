"""Nothing that a model, a server or a file says reaches the terminal raw: everything is printed through `echo` and `table`."""

from __future__ import annotations

import ast
import io
import json
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from distil.cli import main
from distil.cli.options import color_allowed, echo, json_text, say, table
from distil.cli.view import command as view
from distil.errors import UserError
from distil.records import Answer, Message, Prompt, Sampling
from distil.runs.artifacts import Project
from distil.runs.jsonl import write_records
from distil.text import visible
from tests.conftest import ROOT

HOSTILE = "hi \x1b]0;PWNED\x07 \x1b[2J\x9b31m \u202eevil\u2066 back\x08\rover \x7f"
FORBIDDEN = set("\x00\x07\x08\x1b\r\x7f\x9b\u202e\u2066")


@given(st.text())
def test_visible_leaves_no_control_character(text: str) -> None:
    shown = visible(text)
    assert not any((ord(sign) < 0x20 and sign not in "\n\t") or 0x7F <= ord(sign) <= 0x9F for sign in shown)
    assert visible(shown) == shown
    assert len(shown) >= len(text.replace("\r\n", "\n"))


@pytest.mark.parametrize("text", ["plain\n\ttext", "naïve Straße 漢字", "🤷🏽‍♀️ 👩‍👩‍👦", "שלום مرحبا", ""])
def test_what_people_write_stays_as_it_is(text: str) -> None:
    assert visible(text) == text


def test_control_characters_become_symbols() -> None:
    assert visible("a\x1b[2J\r\nb\u202e\x9b\x7f") == "a␛[2J\nb⟨U+202E⟩⟨U+009B⟩␡"


def test_all_ways_to_print_are_safe(capsys: pytest.CaptureFixture[str]) -> None:
    echo(HOSTILE)
    say(HOSTILE)
    table(HOSTILE, ("column [bold]", HOSTILE), [(HOSTILE, HOSTILE)])
    table("", ("", ""), [("[/nothing]", "[bold]")])
    printed = capsys.readouterr()
    for text in (printed.out, printed.err):
        assert text and not FORBIDDEN & set(text)
    assert "[/nothing]" in printed.out


def test_json_is_escaped_and_means_the_same() -> None:
    value = {"text": HOSTILE, "name": "Straße 漢字"}
    text = json_text(value)
    assert json.loads(text) == value
    assert not FORBIDDEN & set(text)
    assert "Straße 漢字" in text


def test_answers_are_viewed_without_their_escapes(tmp_path: Path) -> None:
    project = Project(tmp_path)
    prompt = Prompt.make([Message(role="user", content=HOSTILE)])
    answer = Answer(
        id="answer_1", prompt_id=prompt.id, teacher="\x1b[31mt", sampling=Sampling(), text=HOSTILE, finish_reason="stop",
        call_id="c",
    )  # fmt: skip
    write_records(project.prompts, [prompt])
    write_records(project.answers, [answer])
    for arguments in ([], ["--json"]):
        shown = CliRunner().invoke(view, ["answers", *arguments, "--project", str(tmp_path)], catch_exceptions=False)
        assert "PWNED" in shown.output
        assert not FORBIDDEN & set(shown.output)


def test_errors_are_printed_without_escapes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**options: object) -> None:
        raise UserError(f"The server says: {HOSTILE}")

    monkeypatch.setattr(main.cli, "main", fail)
    with pytest.raises(SystemExit):
        main.main()
    printed = capsys.readouterr().err
    assert "The server says: hi ␛]0;PWNED" in printed
    assert not FORBIDDEN & set(printed)


@pytest.mark.parametrize("path", sorted((ROOT / "src/distil/cli").glob("*.py")), ids=lambda path: path.name)
def test_commands_print_through_one_door(path: Path) -> None:
    if path.name == "options.py":
        return
    calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    direct = [
        call.attr
        for call in calls
        if isinstance(call, ast.Attribute) and call.attr in ("echo", "secho") and isinstance(call.value, ast.Name)
    ]
    assert direct == [], f"{path.name} prints without `distil.cli.options.echo`"
    assert not any(isinstance(call, ast.Name) and call.id == "print" for call in calls)


@pytest.mark.parametrize("asked", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_styles_where_none_are_wanted(asked: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert color_allowed() is None
    for name, value in asked.items():
        monkeypatch.setenv(name, value)
    assert color_allowed() is False


@pytest.mark.parametrize(
    "words, said", [("cost", "not a Distil project"), ("coost", "'cost'"), ("train --epochs 3", "No such option")]
)
def test_an_error_is_the_document_under_json(
    words: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["distil", *words.split(), "--json"])
    with pytest.raises(SystemExit) as ended:
        main.main()
    printed = capsys.readouterr()
    error = json.loads(printed.out)["error"]
    assert ended.value.code == error["exit_code"] == 2 and said in error["message"] and said in printed.err


CELLS = st.text(st.characters(categories=["L", "N", "P"], include_characters="$±%"), max_size=30)


@given(
    st.integers(40, 200),
    st.integers(1, 8).flatmap(lambda n: st.lists(st.lists(CELLS, min_size=n, max_size=n), min_size=2, max_size=4)),
)
def test_a_table_loses_no_character_at_any_width(width: int, rows: list[list[str]]) -> None:
    shown = io.StringIO()
    terminal = partial(Console, file=shown, width=width, force_terminal=True, color_system=None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rich.console.Console", terminal)
        table("title", rows[0], rows[1:])
    text = shown.getvalue()
    assert max(map(cell_len, text.splitlines())) <= width
    wanted = Counter("".join(visible(cell) for row in rows[1:] for cell in row))
    assert wanted <= Counter(text), wanted - Counter(text)
    short = [visible(cell) for row in rows[1:] for cell in row if cell_len(visible(cell)) <= 18]
    assert all(cell in text for cell in short)  # figures are never broken
