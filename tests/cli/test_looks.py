"""Commands that only look: in a folder that can't be written to, again and again, and at files of a later version."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result

from distil.calls.ledger import schema
from distil.calls.ledger.store import Ledger
from distil.cli.main import cli
from distil.config import load_config
from distil.errors import UserError
from distil.pipeline import run_stage
from distil.runs.artifacts import Project
from distil.runs.manifest import read_manifest
from tests.pipeline.test_whole_loop import make_project


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = make_project(tmp_path_factory.mktemp("looks"), rows=12)
    for stage in ("prompts", "collect"):
        run_stage(project, load_config(project), stage, None)
    return project


@pytest.fixture
def read_only(collected: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """As on a read-only disk (permissions would not stop root): nothing there may be opened to write."""
    access, opened = os.access, os.open

    def may(path: str | Path, mode: int, **options: object) -> bool:
        return not (mode & os.W_OK and str(path).startswith(str(collected.root))) and access(path, mode)

    def opens(path: str | Path, flags: int, *more: int, **options: int) -> int:
        if str(path).startswith(str(collected.root)) and flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        return opened(path, flags, *more, **options)

    monkeypatch.setattr(os, "access", may)
    monkeypatch.setattr(os, "open", opens)
    return collected


def ask(project: Project, *words: str) -> Result:
    return CliRunner().invoke(cli, [*words, "--project", str(project.root)], catch_exceptions=False)


PRICED = ["--set", "cost.teacher_host.usd_per_hour=1", "--set", "cost.input_tokens=9", "--set", "cost.output_tokens=9"]


@pytest.mark.parametrize("words", ["status", "plan", "ledger", "collect --dry-run", "doctor", "config show", "cost"])
def test_a_look_works_where_nothing_can_be_written(words: str, read_only: Project) -> None:
    before = {path: path.stat().st_mtime_ns for path in read_only.root.rglob("*")}
    done = ask(read_only, *words.split(), *(PRICED if words == "cost" else []))
    assert done.exit_code == 0, done.output
    assert {path: path.stat().st_mtime_ns for path in read_only.root.rglob("*")} == before


@pytest.mark.parametrize("left", ["nothing", "a log", "an older schema"])
def test_a_ledger_is_read_without_writing_beside_it(left: str, collected: Project, tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(collected.ledger) as ledger:
        usd = 84.0 if left == "a log" else ledger.spent("collect")
    path.write_bytes(collected.ledger.read_bytes())
    writer = schema.connect(path, 5.0)
    if left == "a log":
        writer.execute("UPDATE call SET usd = 7")  # it stays in the log while the writer is there
    if left == "an older schema":
        writer.execute("ALTER TABLE call DROP COLUMN table_usd")
        writer.execute("PRAGMA user_version = 2")
        for column in ("cache_write_tokens", "cache_write_1h_tokens"):
            writer.execute(f"ALTER TABLE call DROP COLUMN {column}")
        for column in ("settled_usd", "settlement"):
            writer.execute(f"ALTER TABLE attempt DROP COLUMN {column}")
        writer.execute("DROP TABLE settlement")
    if left != "a log":
        writer.close()
    files = sorted(tmp_path.iterdir())
    looked = schema._read_only(path, 5.0)
    assert looked.execute("SELECT count(*), sum(usd) FROM call").fetchone() == (12, pytest.approx(usd))
    looked.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "access", lambda *a, **k: False)
        with Ledger(path) as ledger:
            assert ledger.spent("collect") == pytest.approx(usd)
    assert sorted(tmp_path.iterdir()) == files
    writer.close()


def test_looking_again_leaves_the_manifest(collected: Project) -> None:
    path = collected.stage("prompts") / "manifest.json"
    before = path.read_bytes()
    assert ask(collected, "prompts", "load").exit_code == 0
    assert path.read_bytes() == before
    assert ask(collected, "prompts", "load", "--set", "prompts.system=Be brief.").exit_code == 0
    assert path.read_bytes() != before
    assert ask(collected, "prompts", "load").exit_code == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [({"schema_version": 99}, "schema version 99.*Update Distil"), ({"shade": 1}, "does not know: shade.*update Distil")],
)  # fmt: skip
def test_a_manifest_of_a_later_version_is_not_to_be_deleted(
    change: dict[str, object], said: str, collected: Project
) -> None:
    path = collected.stage("collect") / "manifest.json"
    before = path.read_text()
    path.write_text(json.dumps(json.loads(before) | change))
    try:
        with pytest.raises(UserError, match=said) as refused:
            read_manifest(collected, "collect")
        assert "Delete" not in str(refused.value)
    finally:
        path.write_text(before)


def test_the_ledger_takes_words_as_well(collected: Project, tmp_path: Path) -> None:
    shown = ask(collected, "ledger", "show")
    assert shown.exit_code == 0 and "call_" in shown.output
    assert ask(collected, "ledger", "export", str(tmp_path / "calls.jsonl")).exit_code == 0
    assert len((tmp_path / "calls.jsonl").read_text().splitlines()) == 12
    for words, said in (("shwo", "Did you mean 'show'"), ("export", "expected `distil ledger export FILE`")):
        with pytest.raises(UserError, match=said):
            ask(collected, "ledger", words)


@pytest.mark.parametrize("group", ["config", "prompts", "signals"])
def test_the_help_of_a_group_is_whole(group: str) -> None:
    shown = CliRunner().invoke(cli, [group, "--help"]).output
    assert "..." not in shown.replace("KEY=VALUE...", "").replace("[ARGS]...", "")


def completed(*words: str) -> list[str]:
    *given, begun = words
    return [found.value for found in ShellComplete(cli, {}, "distil", "X").get_completions(list(given), begun)]


def test_tab_offers_students_and_keys(collected: Project) -> None:
    (collected.stage("train", "small")).mkdir(parents=True)
    (collected.stage("train", "small") / "manifest.json").write_text('{"finished": "2026"}')
    assert completed("export", "--project", str(collected.root), "s") == ["small"]
    assert completed("train", "--set", "train.learn") == ["train.learning_rate="]
    assert completed("config", "set", "cost.student_host.usd") == ["cost.student_host.usd_per_hour="]
    assert completed("config", "show", "cura") [:1] == ["curate"]  # fmt: skip
    assert "teachers.0.sampling.max_tokens=" in completed("run", "--set", "teachers.0.sampling.max")
