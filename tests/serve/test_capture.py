"""Captured prompts: in order, durable, and counted where they are lost."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from distil.errors import WorkFailed
from distil.serve.capture import Capture


def test_a_full_capture_queue_counts_lost_lines(tmp_path: Path) -> None:
    """The other lines are written in order."""
    capture = Capture(tmp_path / "deep" / "captured.jsonl", queue_lines=3)
    taken = [capture.add({"n": n}) for n in range(5)]  # nothing is written yet
    assert taken == [True, True, True, False, False] and capture.dropped == 2
    capture.start()
    capture.stop()
    assert [json.loads(line)["n"] for line in capture.path.read_text().splitlines()] == [0, 1, 2]
    assert capture.written == 3


def test_a_capture_file_that_cannot_be_opened_fails_at_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkFailed, match="Could not open"):
        Capture(tmp_path / "file" / "captured.jsonl").start()


def test_half_a_surrogate_pair_does_not_end_capturing(tmp_path: Path) -> None:
    capture = Capture(tmp_path / "captured.jsonl")
    capture.start()
    for text in ("x \ud800", "fine"):
        assert capture.add({"text": text})
    capture.stop()
    lines = [json.loads(line)["text"] for line in capture.path.read_text(encoding="utf-8").splitlines()]
    assert lines == ["x ?", "fine"] and capture.written == 2


def test_stopping_ends_also_when_the_queue_is_full(tmp_path: Path) -> None:
    capture = Capture(tmp_path / "captured.jsonl", queue_lines=1)
    capture.add({"n": 1})
    capture.start()
    capture.add({"n": 2})
    capture.stop()
    assert capture.written + capture.dropped == 2


def test_the_file_is_made_anew_where_somebody_moved_it(tmp_path: Path) -> None:
    """As logrotate does."""
    capture = Capture(tmp_path / "captured.jsonl")
    capture.start()
    capture.add({"n": 1})
    asyncio.run(capture.settled())
    assert capture.written == 1, "a reply that waited has its line on the disk"
    capture.path.rename(tmp_path / "old.jsonl")
    capture.add({"n": 2})
    capture.stop()
    assert [json.loads(p.read_text())["n"] for p in (tmp_path / "old.jsonl", capture.path)] == [1, 2]


def test_no_fault_ends_capturing_and_what_is_lost_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    capture = Capture(tmp_path / "captured.jsonl")
    assert not capture.add({"n": object()}) and capture.dropped == 1
    capture.start()
    with monkeypatch.context() as broken:
        broken.setattr("distil.serve.capture.os.fsync", lambda file: 1 // 0)
        capture.add({"n": 1})
        asyncio.run(capture.settled())
    capture.add({"n": 2})
    capture.stop()
    assert capture.dropped == 2 and capture.written == 1 and "ZeroDivisionError" in capsys.readouterr().err


def test_a_disk_that_stays_full_does_not_hold_up_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("distil.serve.capture.CLOSING_S", 0.2)
    monkeypatch.setattr("distil.serve.capture.os.fsync", full)
    capture = Capture(tmp_path / "captured.jsonl")
    capture.start()
    capture.add({"n": 1})
    capture.stop()
    assert capture.dropped == 1 and capture.path.read_text() == "", "no half line"
    assert capsys.readouterr().err.count("No space left") == 1
