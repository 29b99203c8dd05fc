"""Keeps the prompts that the teacher answered, for the next training round: durable, bounded, and nothing ends it.

Lines are in the format that `prompts.path` reads ({"messages": ...}), with the reason and both answers under `captured`.

The gateway replies once the line is on the disk (`settled`), so that what a client was told is not lost with the process; where
the disk is slower than PATIENCE_S, or full, it doesn't wait. While the disk is full, lines wait for room: QUEUE_LINES of them,
those beyond are dropped and counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import queue
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path

from distil.errors import WorkFailed
from distil.progress import say
from distil.runs.private import create_private
from distil.terminal import show_exception

QUEUE_LINES = 1000
MAX_GATHER = 200
PATIENCE_S = 0.25
"""How long a reply waits for its line."""
RETRY_S = 1.0
"""While the disk is full: how often it is tried."""
CLOSING_S = 2.0
"""While the disk is full: how long the last lines are tried when the gateway stops."""

_Entry = str | Future[None] | None
"""A line, somebody who waits for the lines before, or the end."""


class Capture:
    """Appends lines to a file on its own thread; every batch of lines is synced to the disk before it counts as written."""

    def __init__(self, path: Path, *, queue_lines: int = QUEUE_LINES) -> None:
        self.path = path
        self.written = 0
        self.dropped = 0
        self.failing = False
        """Whether the file can't be written now."""
        self._queue: queue.Queue[_Entry] = queue.Queue(queue_lines)
        self._thread: threading.Thread | None = None
        self._file = -1
        self._closing_at: float | None = None

    def start(self) -> None:
        """Opens the file. Raises WorkFailed when it can't be written."""
        try:
            self._open()
        except OSError as error:
            raise WorkFailed(
                f"Could not open {self.path}: {error.strerror}. Make it writable, or type --set serve.capture=false."
            ) from None
        self._thread = threading.Thread(target=self._run, name="distil-capture", daemon=True)
        self._thread.start()

    def add(self, line: Mapping[str, object]) -> bool:
        """Takes a line for writing; false when it is dropped: the queue is full, or it can't be written as JSON. Never waits."""
        try:
            self._queue.put_nowait(json.dumps(line, ensure_ascii=False))
        except (queue.Full, ValueError, TypeError, RecursionError):
            self.dropped += 1
            return False
        return True

    async def settled(self) -> None:
        """Waits until the lines so far are on the disk; not long, and not while that fails."""
        if self.failing or self._thread is None or not self._thread.is_alive():
            return
        waiter: Future[None] = Future()
        with contextlib.suppress(queue.Full, TimeoutError):
            self._queue.put_nowait(waiter)
            await asyncio.wait_for(asyncio.wrap_future(waiter), PATIENCE_S)

    def stop(self) -> None:
        """Writes what is waiting and closes the file: at once, or after CLOSING_S where the disk is full."""
        self._closing_at = time.monotonic()
        while self._thread is not None and self._thread.is_alive():
            with contextlib.suppress(queue.Full):
                self._queue.put(None, timeout=0.1)
                self._thread.join(2 * CLOSING_S)
                break
        if self._file >= 0 and not (self._thread is not None and self._thread.is_alive()):
            os.close(self._file)
            self._file = -1

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        create_private(self.path)
        self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _run(self) -> None:
        ended = False
        while not ended:
            entries, ended = self._gather()
            lines = [entry for entry in entries if isinstance(entry, str)]
            try:
                self._insist(lines)
            except Exception as error:  # nobody watches a thread
                self.dropped += len(lines)
                show_exception(type(error), error, error.__traceback__)
            for entry in entries:
                if isinstance(entry, Future) and entry.set_running_or_notify_cancel():
                    entry.set_result(None)

    def _insist(self, lines: list[str]) -> None:
        while lines and not self._write(lines):
            if self._closing_at is not None and time.monotonic() - self._closing_at > CLOSING_S:
                self.dropped += len(lines)
                return
            time.sleep(RETRY_S if self._closing_at is None else RETRY_S / 10)

    def _write(self, lines: list[str]) -> bool:
        """Whether the lines are on the disk. A part of them is taken back, so that the file never holds half a line."""
        try:
            self._follow()
            before = os.fstat(self._file).st_size
            data = "".join(line + "\n" for line in lines).encode("utf-8", "replace")
            try:
                while data:
                    data = data[os.write(self._file, data) :]
                os.fsync(self._file)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._file, before)
                raise
        except OSError as error:
            if not self.failing:
                say(
                    f"distil serve: can't write {self.path} ({error.strerror}); captured prompts wait for room, "
                    f"{self._queue.maxsize:,} of them at most"
                )
            self.failing = True
            return False
        if self.failing:
            say(f"distil serve: {self.path} can be written again")
        self.failing = False
        self.written += len(lines)
        return True

    def _follow(self) -> None:
        """Opens the file again where somebody has moved or removed it."""
        try:
            there, here = self.path.stat(), os.fstat(self._file)
            moved = (there.st_ino, there.st_dev) != (here.st_ino, here.st_dev)
        except OSError:
            moved = True
        if moved:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._open()

    def _gather(self) -> tuple[list[_Entry], bool]:
        """The waiting entries (at least one, unless it is the end), and whether the end was among them."""
        found: list[_Entry] = []
        entry = self._queue.get()
        while entry is not None:
            found.append(entry)
            if len(found) >= MAX_GATHER:
                return found, False
            try:
                entry = self._queue.get_nowait()
            except queue.Empty:
                return found, False
        return found, True
