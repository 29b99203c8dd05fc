"""Keeps the prompts that the teacher answered, for the next training round: durable, bounded, and it never delays a reply.

Lines are in the format that `prompts.path` reads ({"messages": ...}), with the reason and both answers under `captured`. When
the disk is slower than the traffic, lines are dropped and counted.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from distil.errors import WorkFailed
from distil.progress import say
from distil.runs.private import create_private

QUEUE_LINES = 1000
MAX_GATHER = 200


class Capture:
    """Appends lines to a file on its own thread; every batch of lines is synced to the disk before it counts as written."""

    def __init__(self, path: Path, *, queue_lines: int = QUEUE_LINES) -> None:
        self.path = path
        self.written = 0
        self.dropped = 0
        self._queue: queue.Queue[str | None] = queue.Queue(queue_lines)
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Opens the file. Raises WorkFailed when it can't be written."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            create_private(self.path)
            file = self.path.open("a", encoding="utf-8", errors="replace")
        except OSError as error:
            raise WorkFailed(
                f"Could not open {self.path}: {error.strerror}. Make it writable, or type --set serve.capture=false."
            ) from None
        self._thread = threading.Thread(target=self._write, args=(file,), name="distil-capture", daemon=True)
        self._thread.start()

    def add(self, line: Mapping[str, object]) -> bool:
        """Takes a line for writing; false when the queue is full and the line is dropped. Never waits."""
        try:
            self._queue.put_nowait(json.dumps(line, ensure_ascii=False))
        except queue.Full:
            self.dropped += 1
            return False
        return True

    def stop(self) -> None:
        """Writes what is waiting and closes the file."""
        while self._thread is not None and self._thread.is_alive():
            with contextlib.suppress(queue.Full):
                self._queue.put(None, timeout=0.1)
                self._thread.join()

    def _write(self, file: TextIO) -> None:
        with file:
            ended = False
            while not ended:
                lines, ended = self._gather()
                try:
                    file.write("".join(line + "\n" for line in lines))
                    file.flush()
                    os.fsync(file.fileno())
                    self.written += len(lines)
                except OSError as error:
                    if not self.dropped:
                        say(
                            f"distil serve: can't write {self.path} ({error.strerror}); captured prompts are being lost"
                        )
                    self.dropped += len(lines)

    def _gather(self) -> tuple[list[str], bool]:
        """The waiting lines (at least one, unless it is the end), and whether the end was among them."""
        lines: list[str] = []
        entry = self._queue.get()
        while entry is not None:
            lines.append(entry)
            if len(lines) >= MAX_GATHER:
                return lines, False
            try:
                entry = self._queue.get_nowait()
            except queue.Empty:
                return lines, False
        return lines, True
