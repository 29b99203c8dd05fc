"""The line under the bar tells failures, money, speed and limit; numbers that say nothing are left out."""

from __future__ import annotations

from distil.calls.stats import Admission, Stats
from distil.collect.display import Display
from distil.progress import Bar


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_note_shows_only_numbers_that_exist() -> None:
    clock = Clock()
    admission = Admission(200, None, 0)
    stats = Stats(clock, lambda: admission)
    display = Display(Bar("Asking", 10, "answers"), 10)
    assert display.note(stats) == ""
    clock.now = 2.0
    for _ in range(4):
        stats.note_answer(100, 25, 0.5)
    stats.in_flight = 3
    assert display.note(stats) == "500 tokens, $2.00 of about $5.00, 2.0/s, 3 at once (limit 200)"
    display.advance(stats, failed=True)
    stats.cached, admission = 5, Admission(200, 8.25, 0)
    assert display.note(stats).startswith("1 failed, 5 from the ledger, 500 tokens, $2.00")
    assert display.note(stats).endswith("at once (limit 200, 8.2/s)")
    admission = Admission(200, 8.25, 12)
    assert display.note(stats).endswith(", 12 waiting for the dollar cap")


def test_the_time_left_counts_only_open_answers() -> None:
    clock = Clock()
    stats, bar = Stats(clock, lambda: Admission(200, None, 0)), Bar("Asking", 100, "answers")
    display = Display(bar, 100)
    stats.cached, clock.now = 60, 2.0
    stats.note_answer(100, 25, 0.5)
    display.advance(stats, failed=False)
    assert bar.left_s == 78.0  # 39 are open at one in two seconds; what the ledger had went by in no time


def test_the_note_says_why_it_waits_and_for_which_request() -> None:
    clock = Clock()
    admission = Admission(200, None, 0, "the provider asked for 7m12s (requests per hour or day)")
    stats = Stats(clock, lambda: admission)
    number = stats.note_sent()
    clock.now = 5.0
    stats.note_sent()
    clock.now = 54.5
    note = Display(Bar("Asking", 10, "answers"), 10).note(stats)
    assert note == "oldest request 54 s, waiting: the provider asked for 7m12s (requests per hour or day)"
    stats.note_back(number)
    assert stats.oldest_s == 49.5 and stats.in_flight == 1
