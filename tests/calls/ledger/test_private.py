"""The ledger is its owner's: modes of all its files, and copies that are whole."""

from __future__ import annotations

import json
import sqlite3
import stat
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from distil.calls.ledger.backup import back_up
from distil.calls.ledger.rescue import rescue_path
from distil.calls.ledger.rows import AttemptRow
from distil.calls.ledger.store import Ledger, Recorded
from distil.cli.ledger import command
from distil.errors import UserError, WorkFailed
from distil.records import Usage
from distil.serve.capture import Capture
from distil.serve.keys import new_key, revoke
from distil.serve.spending import Spending


def reply(number: int) -> Recorded:
    body = b'{"text": "%d"}' % number
    return Recorded(f"call_{number}", "collect", "m", body, body, Usage(input_tokens=1, output_tokens=1), usd=0.5)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_only_the_owner_reads_the_ledgers_files(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        ledger.record([reply(1)])
        files = [file for file in tmp_path.iterdir() if file.name.startswith(path.name)]
        assert len(files) >= 3, "ledger, -wal, -shm"
        assert {file.name: mode(file) for file in files} == {file.name: 0o600 for file in files}


def test_an_older_ledger_is_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        ledger.record([reply(1)])
    path.chmod(0o644)
    with Ledger(path) as ledger:
        ledger.record([reply(2)])
    assert mode(path) == 0o600


def test_rescued_and_captured_texts_are_private(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    writer = ledger.start()
    writer.broken = WorkFailed("full")
    writer._transaction = lambda rows: (_ for _ in ()).throw(sqlite3.OperationalError("full"))  # type: ignore[method-assign]
    writer.put([AttemptRow("call_1", "now", "cancelled", "private", None, None, None)]).result(5)
    assert mode(rescue_path(ledger.path)) == 0o600
    ledger.close()
    capture = Capture(tmp_path / "captured.jsonl")
    capture.start()
    capture.stop()
    assert mode(tmp_path / "captured.jsonl") == 0o600


def test_a_private_file_is_never_open_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even for the moment between the rename and a change of its mode."""
    seen = list[int]()

    def replace(source: Path, target: Path) -> None:
        seen.append(mode(source))
        source.rename(target)

    monkeypatch.setattr("os.replace", replace)
    keys, spending = tmp_path / "keys.jsonl", Spending(tmp_path / "spending.jsonl")
    monkeypatch.setattr("distil.serve.spending.MOST_LINES", 1)
    new_key(keys, "a")
    new_key(keys, "b")
    revoke(keys, "a")
    for _ in range(3):
        spending.settle("b", 0.0, 0.1)
    assert seen == [0o600] * 4 and mode(tmp_path / "spending.jsonl") == 0o600


def test_a_backup_while_a_run_writes_is_whole(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.record([reply(number) for number in range(50)])
        stop = threading.Event()

        def write() -> None:
            number = 50
            while not stop.is_set():
                ledger.record([reply(number)])
                number += 1

        thread = threading.Thread(target=write)
        thread.start()
        copies = [back_up(ledger.path, tmp_path / f"copy{number}.sqlite") for number in range(5)]
        stop.set()
        thread.join()
    for copied in copies:
        assert copied.calls >= 50 and copied.usd == copied.calls / 2
        assert mode(copied.file) == 0o600
        with Ledger(copied.file) as again:
            assert {call.id for call in again.calls()} == {f"call_{number}" for number in range(copied.calls)}
            assert again.body("call_7")[1] == b'{"text": "7"}'
    assert not list(tmp_path.glob(".*partial*"))


def test_a_backup_overwrites_nothing(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.record([reply(1)])
    target = tmp_path / "copy.sqlite"
    target.write_text("mine")
    with pytest.raises(UserError, match="overwrites nothing"):
        back_up(tmp_path / "ledger.sqlite", target)
    assert target.read_text() == "mine"


def test_answers_in_a_rescue_file_are_in_the_backup(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.record([reply(1)])
    row = ["FailedRow", ["call_9", "private"]]
    rescue_path(tmp_path / "ledger.sqlite").write_text(json.dumps(row) + "\n")
    copied = back_up(tmp_path / "ledger.sqlite", tmp_path / "copy.sqlite")
    assert json.loads(rescue_path(copied.file).read_text()) == row
    assert mode(rescue_path(copied.file)) == 0o600


def test_the_command_copies_and_says_how_to_go_back(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.record([reply(1)])
    target = tmp_path / "copies" / "one.sqlite"
    done = CliRunner().invoke(command, ["--project", str(tmp_path), "--backup", str(target)], catch_exceptions=False)
    assert "Wrote 1 call, $0.50, to" in done.output and target.exists()
