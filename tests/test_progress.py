"""Progress bars on wide and narrow terminals, and the format of dollars."""

from __future__ import annotations

import re

import pytest

from distil.progress import Bar, _LiveBar, dollars

NOTE = "3 failed, 5,124 tokens, $0.0016 of about $0.0037, 137.2/s, 49 at once (limit 50)"


def test_dollars_keep_the_digits_that_matter() -> None:
    written = [dollars(value) for value in (0, 0.0000052, 0.00042, 0.0123, 1.234, 1234.5, -2)]
    assert written == ["$0", "$0.0000052", "$0.00042", "$0.0123", "$1.23", "$1,234", "-$2.00"]


def test_a_line_shows_the_given_time_left_and_one_speed() -> None:
    bar = Bar("Asking", 100, "answers")
    bar.update(40, "2.0/s", left_s=30.0)
    assert bar.line() == "Asking: 40/100 answers, 0:30 left, 2.0/s"
    bar.update(100, "2.0/s", left_s=0.0)
    assert bar.line() == "Asking: 100/100 answers, 2.0/s"


def test_a_slow_bar_says_the_time_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of 43 seconds was `0.0 steps/s`."""
    bar = Bar("Training", 24, "steps")
    monkeypatch.setattr("distil.progress.time.monotonic", lambda: bar._start + 86)
    bar.update(2)
    assert bar.line() == "Training: 2/24 steps, 43.0 s per step, 15:46 left"
    bar.update(24)
    assert bar.line() == "Training: 24/24 steps, 3.6 s per step"
    assert "0.8 batches/s" in lines_of(69, "batches") and "9.6 s per batch" in lines_of(9, "batches")


def lines_of(done: int, unit: str) -> str:
    """A bar's line 86 seconds after its start, where the clock is held there."""
    bar = Bar("Work", None, unit)
    bar._start -= 86
    bar.update(done)
    return bar.line()


@pytest.mark.parametrize("columns", [120, 80, 50])
def test_no_number_is_cut_off_on_a_narrow_terminal(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    bar = _LiveBar("Asking", 1500, "answers")
    bar.update(294, NOTE, left_s=3.0)
    bar._close()
    drawn = "".join(re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", capsys.readouterr().err).split())
    for part in ("294/1,500answers,0:03left", *("".join(word.split()) for word in NOTE.split(", "))):
        assert part in drawn, drawn
