"""Progress with time left for everything longer than two seconds; always on stderr, so that stdout stays machine-readable.

On a terminal a live bar; elsewhere (CI, a log file) one plain line every ten seconds. Not a logger. Every floor above may use it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
PLAIN_INTERVAL_S = 10.0


class Bar:
    """One running bar. `advance` may be called often: redrawing is rate-limited."""

    def __init__(self, label: str, total: int | None, unit: str) -> None:
        self.label = label
        self.total = total
        self.unit = unit
        self.done = 0
        self.note = ""
        self._start = time.monotonic()

    def advance(self, count: int = 1, note: str | None = None) -> None:
        """`count` more units are done; `note` is shown behind the bar (loss, $ spent, ...)."""
        self.update(self.done + count, note)

    def update(self, done: int, note: str | None = None) -> None:
        """`done` units are done in all."""
        self.done = done
        if note is not None:
            self.note = note
        self._draw()

    def _draw(self) -> None: ...

    def _close(self) -> None: ...

    def line(self) -> str:
        """`label 10/100 docs, 3 docs/s, 0:30 left, note`."""
        elapsed = time.monotonic() - self._start
        rate = self.done / elapsed if elapsed > 0 else 0.0
        parts = [f"{self.done:,}" + (f"/{self.total:,}" if self.total else "") + f" {self.unit}"]
        if rate > 0:
            parts.append(f"{rate:,.1f} {self.unit}/s")
            if self.total and self.done < self.total:
                parts.append(f"{_clock((self.total - self.done) / rate)} left")
        if self.note:
            parts.append(self.note)
        return f"{self.label}: " + ", ".join(parts)


class _PlainBar(Bar):
    def __init__(self, label: str, total: int | None, unit: str) -> None:
        super().__init__(label, total, unit)
        self._last = self._start

    def _draw(self) -> None:
        if time.monotonic() - self._last >= PLAIN_INTERVAL_S:
            self._last = time.monotonic()
            _say(self.line())

    def _close(self) -> None:
        if time.monotonic() - self._start >= 2:
            _say(self.line())


class _LiveBar(Bar):
    def __init__(self, label: str, total: int | None, unit: str) -> None:
        super().__init__(label, total, unit)
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[count]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("[dim]{task.fields[note]}"),
            console=Console(stderr=True),
            refresh_per_second=8,
        )
        self._task = self._progress.add_task(label, total=total, count="", note="")
        self._progress.start()

    def _draw(self) -> None:
        count = f"{self.done:,}/{self.total:,}" if self.total else f"{self.done:,} {self.unit}"
        self._progress.update(self._task, completed=self.done, count=count, note=self.note)

    def _close(self) -> None:
        self._progress.stop()


@contextmanager
def bar(label: str, total: int | None = None, unit: str = "items") -> Iterator[Bar]:
    """A bar for the length of the block; `total` None = unknown."""
    running: Bar = (_LiveBar if sys.stderr.isatty() else _PlainBar)(label, total, unit)
    try:
        yield running
    finally:
        running._close()


def track(items: Iterable[T], label: str, total: int | None = None, unit: str = "items") -> Iterator[T]:
    """Yields the items and shows how many have passed."""
    with bar(label, total if total is not None else getattr(items, "__len__", lambda: None)(), unit) as running:
        for item in items:
            yield item
            running.advance()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
