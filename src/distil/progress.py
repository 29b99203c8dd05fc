"""Progress bars with the time left, on stderr, so that stdout stays machine-readable.

A live bar on a terminal; elsewhere (CI, a log file) one plain line every ten seconds. Also the format of dollars. Not a logger.
"""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from distil.text import visible

T = TypeVar("T")
PLAIN_INTERVAL_S = 10.0
BAR_WIDTH = 24


class Bar:
    """One running bar. `advance` may be called often: redrawing is rate-limited."""

    def __init__(self, label: str, total: int | None, unit: str) -> None:
        self.label = visible(label)
        self.total = total
        self.unit = unit
        self.done = 0
        self.note = ""
        self.left_s: float | None = None
        self._start = time.monotonic()

    def advance(self, count: int = 1, note: str | None = None) -> None:
        """`count` more units are done; `note` is shown after the bar (loss, $ spent, ...)."""
        self.update(self.done + count, note)

    def update(self, done: int, note: str | None = None, left_s: float | None = None) -> None:
        """`done` units are done in total. left_s: seconds left, if the caller knows better than the mean speed so far; the
        note then includes the speed."""
        self.done = done
        self.left_s = left_s
        if note is not None:
            self.note = visible(note)
        self._draw()

    def _draw(self) -> None: ...

    def _close(self) -> None: ...

    def count(self) -> str:
        """`10/100 docs`."""
        return f"{self.done:,}" + (f"/{self.total:,}" if self.total else "") + f" {self.unit}"

    def left(self) -> str:
        """`0:30 left`, or nothing while unknown."""
        seconds = self.left_s
        if seconds is None and self.total and self.done:
            seconds = (self.total - self.done) * (time.monotonic() - self._start) / self.done
        unfinished = self.total is not None and self.done < self.total
        return f"{_clock(seconds)} left" if seconds is not None and unfinished else ""

    def line(self) -> str:
        """`label 10/100 docs, 3 docs/s, 0:30 left, note`."""
        elapsed = time.monotonic() - self._start
        speed = _speed(self.done / elapsed, self.unit) if self.left_s is None and self.done and elapsed > 0 else ""
        return f"{self.label}: " + ", ".join(part for part in (self.count(), speed, self.left(), self.note) if part)


def _speed(per_second: float, unit: str) -> str:
    """`12.3 prompts/s`; below one in two seconds the time for one: `43.0 s per step`."""
    if per_second >= 0.5:
        return f"{per_second:,.1f} {unit}/s"
    return f"{1 / per_second:,.1f} s per {unit.removesuffix('es' if unit.endswith('ches') else 's')}"


class _PlainBar(Bar):
    def __init__(self, label: str, total: int | None, unit: str) -> None:
        super().__init__(label, total, unit)
        self._last = self._start

    def _draw(self) -> None:
        if time.monotonic() - self._last >= PLAIN_INTERVAL_S:
            self._last = time.monotonic()
            say(self.line())

    def _close(self) -> None:
        if time.monotonic() - self._start >= 2:
            say(self.line())


class _LiveBar(Bar):
    """The note follows the bar if it fits, otherwise it is on the lines below: no number is cut off."""

    def __init__(self, label: str, total: int | None, unit: str) -> None:
        super().__init__(label, total, unit)
        from rich.console import Console, RenderableType
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.text import Text

        bar = self

        class WithNote(Progress):
            def get_renderables(self) -> Iterable[RenderableType]:
                yield self.make_tasks_table(self.tasks)
                if bar.below and bar.note:
                    yield Text(f"  {bar.note}", style="dim", overflow="fold")

        self.below = False
        self._column = BarColumn(bar_width=BAR_WIDTH)
        self._console = Console(stderr=True)
        columns = [
            TextColumn("{task.description}", markup=False),
            self._column,
            TextColumn("{task.fields[text]}", markup=False),
        ]
        self._progress = WithNote(*columns, console=self._console, refresh_per_second=8)
        self._task = self._progress.add_task(self.label, total=total, text="")
        self._progress.start()

    def _draw(self) -> None:
        text = ", ".join(part for part in (self.count(), self.left()) if part)
        space = self._console.width - len(self.label) - len(text) - 2
        self.below = self.below or len(self.note) + 2 > space - BAR_WIDTH
        self._column.bar_width = max(4, min(BAR_WIDTH, space))
        note = f", {self.note}" if self.note and not self.below else ""
        self._progress.update(self._task, completed=self.done, total=self.total, text=text + note)

    def _close(self) -> None:
        self._progress.stop()


@contextmanager
def bar(label: str, total: int | None = None, unit: str = "items") -> Iterator[Bar]:
    """A bar for the duration of the block; `total` None = unknown."""
    running: Bar = (_LiveBar if sys.stderr.isatty() else _PlainBar)(label, total, unit)
    try:
        yield running
    finally:
        running._close()


def track(items: Iterable[T], label: str, total: int | None = None, unit: str = "items") -> Iterator[T]:
    """Yields the items and shows their count."""
    with bar(label, total if total is not None else getattr(items, "__len__", lambda: None)(), unit) as running:
        for item in items:
            yield item
            running.advance()


def dollars(value: float) -> str:
    """$1,234 | $12.30 | $0.0042 | $0.0000051 | -$2.00: with the digits that matter."""
    sign, size = ("-" if value < 0 else ""), abs(value)
    if size == 0:
        return "$0"
    if size >= 1000:
        return f"{sign}${size:,.0f}"
    if size >= 0.1:
        return f"{sign}${size:,.2f}"
    return f"{sign}${size:.4f}" if size >= 0.001 else f"{sign}${size:.{1 - math.floor(math.log10(size))}f}"


def clock(seconds: float) -> str:
    """54 s | 7m12s | 2h05m: a wait, for a person."""
    if not math.isfinite(seconds):
        return "unknown"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60}m{whole % 60:02d}s" if whole < 3600 else f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def _clock(seconds: float) -> str:
    minutes, remainder = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{remainder:02d}" if hours else f"{minutes}:{remainder:02d}"


def say(line: str) -> None:
    """One line for a person, on stderr; control characters as symbols. Lost where stderr is a file on a full disk, or gone."""
    with contextlib.suppress(OSError):
        sys.stderr.write(visible(line) + "\n")
        sys.stderr.flush()
