"""The evaluation's cache: whatever happens to the file, the evaluation goes on."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from distil.runs import cache as cache_module
from distil.runs.cache import Cache


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "work" / "cache.sqlite"


def test_values_come_back_to_another_reader(path: Path) -> None:
    values = {f"key_{i}": bytes([i % 256]) * i for i in range(1500)}
    Cache(path).put(values)
    Cache(path).put({"key_3": b"newer"})
    assert Cache(path).get([*values, "other"]) == values | {"key_3": b"newer"}


def test_without_a_file_nothing_is_there_and_none_is_made(path: Path) -> None:
    assert Cache(path).get(["a"]) == {}
    nowhere = Cache(None)
    nowhere.put({"a": b"1"})
    assert nowhere.get(["a"]) == {}
    assert not path.exists()


@pytest.mark.parametrize("reading", [True, False], ids=["get", "put"])
def test_a_damaged_file_is_replaced(path: Path, reading: bool, capsys: pytest.CaptureFixture[str]) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"this is not a database, but it is long enough to be looked at" * 100)
    cache = Cache(path)
    if reading:
        assert cache.get(["a"]) == {}
    cache.put({"a": b"1"})
    assert Cache(path).get(["a"]) == {"a": b"1"}
    assert "was damaged" in capsys.readouterr().err
    assert path.with_suffix(".damaged").exists()


def test_a_cut_off_file_is_replaced(path: Path) -> None:
    Cache(path).put({f"key_{i}": os.urandom(700) for i in range(200)})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    cache = Cache(path)
    cache.get([f"key_{i}" for i in range(200)])
    cache.put({"a": b"1"})
    assert Cache(path).get(["a"]) == {"a": b"1"}


def test_a_damaged_value_is_missing(path: Path) -> None:
    Cache(path).put({"a": b"1234", "b": b"5678"})
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE cache SET value = ? WHERE key = 'a'", (b"1235",))
    connection.close()
    assert Cache(path).get(["a", "b"]) == {"b": b"5678"}


def test_a_file_that_stays_busy_costs_only_time(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cache_module, "WAIT_S", 0.05)
    Cache(path).put({"a": b"1"})
    other = sqlite3.connect(path)
    other.execute("BEGIN EXCLUSIVE")
    cache = Cache(path)
    cache.put({"b": b"2"})
    assert "nothing is kept" in capsys.readouterr().err
    cache.put({"c": b"3"})
    assert capsys.readouterr().err == ""
    other.rollback()
    other.close()
    assert Cache(path).get(["a", "b", "c"]) == {"a": b"1"}


def test_a_folder_in_its_place_costs_only_time(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.mkdir(parents=True)
    Cache(path).put({"a": b"1"})
    assert "can't be used" in capsys.readouterr().err


def test_a_kill_loses_only_what_was_not_put(path: Path) -> None:
    writer = textwrap.dedent("""
        import sys
        from pathlib import Path
        from distil.runs.cache import Cache
        cache = Cache(Path(sys.argv[1]))
        for number in range(100000):
            cache.put({f"{number}_{i}": bytes(2000) for i in range(20)})
            print(number, flush=True)
    """)
    process = subprocess.Popen([sys.executable, "-c", writer, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    last = [int(process.stdout.readline()) for _ in range(5)][-1]
    os.kill(process.pid, signal.SIGKILL)
    last = max([last, *(int(line) for line in process.stdout.read().split())])
    process.wait()
    process.stdout.close()
    assert len(Cache(path).get([f"{n}_{i}" for n in range(last + 1) for i in range(20)])) == 20 * (last + 1)


def test_two_processes_write_at_once(path: Path) -> None:
    writer = textwrap.dedent("""
        import sys
        from pathlib import Path
        from distil.runs.cache import Cache
        cache = Cache(Path(sys.argv[1]))
        for number in range(30):
            cache.put({f"{sys.argv[2]}_{number}": b"x"})
    """)
    processes = [subprocess.Popen([sys.executable, "-c", writer, str(path), name]) for name in ("a", "b")]
    assert [process.wait() for process in processes] == [0, 0]
    assert len(Cache(path).get([f"{name}_{n}" for name in ("a", "b") for n in range(30)])) == 60
