"""Captured prompts: in order, durable, and counted where they are lost."""

from __future__ import annotations

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
