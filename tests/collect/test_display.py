"""The line under the bar tells failures, money, speed and limit; numbers that say nothing are left out."""

from __future__ import annotations

from distil.calls.stats import Stats
from distil.collect.display import Display, money
from distil.progress import Bar


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_note_grows_with_what_is_known() -> None:
    clock = Clock()
    stats = Stats(clock)
    display = Display(Bar("Asking", 10, "answers"), 10)
    assert display.note(stats) == ""
    clock.now = 2.0
    for _ in range(4):
        stats.note_answer(100, 25, 0.5)
    stats.limit, stats.in_flight = 200, 3
    assert display.note(stats) == "$2.00 of about $5.00, 2.0/s (3 of 200 at once), 500 tokens"
    display.advance(stats, failed=True)
    stats.cached, stats.rate_limit = 5, 8.25
    noted = display.note(stats)
    assert noted.startswith("1 failed, $2.00") and "limit 8.2/s" in noted and noted.endswith("5 from the ledger")


def test_small_sums_keep_their_digits() -> None:
    assert [money(value) for value in (0.00042, 1.234, 1234.5)] == ["$0.0004", "$1.23", "$1,234.50"]
