"""Answers on their way to answers.jsonl: appended as they arrive, written out in the order of the prompts at the end.

Memory is eight bytes per answer. What a crash leaves here is thrown away: the ledger is the truth, and the next run makes
the file again from it for nothing.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from distil.errors import WorkFailed
from distil.records import Record
from distil.runs.jsonl import record_line, write_lines

MISSING = -1


class OrderedWriter:
    """One temporary file per output; use as a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._offsets = array("q")
        self._part = path.with_name(f".{path.name}.{os.getpid()}.part")
        self._file: BinaryIO | None = None

    def __enter__(self) -> OrderedWriter:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for left in self.path.parent.glob(f".{self.path.name}.*.part"):
            left.unlink(missing_ok=True)  # of a process that was killed: the stage's lock lets only one run at a time
        self._file = self._part.open("w+b")
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
        self._part.unlink(missing_ok=True)

    def has(self, number: int) -> bool:
        """Something was kept at that place."""
        return number < len(self._offsets) and self._offsets[number] != MISSING

    def add(self, number: int, record: Record) -> None:
        """Keeps a record at its place in the order. Raises WorkFailed when the disk is full."""
        self._keep(number, record_line(record).encode("utf-8", "surrogatepass") + b"\n")

    def copy(self, number: int, offset: int) -> None:
        """Keeps a line of the file as it was before."""
        with self.path.open("rb") as before:
            before.seek(offset)
            self._keep(number, before.readline().rstrip(b"\r\n") + b"\n")

    def _keep(self, number: int, line: bytes) -> None:
        assert self._file is not None, "used outside its block"
        try:
            end = self._file.seek(0, os.SEEK_END)
            self._file.write(line)
        except OSError as error:
            raise WorkFailed(
                f"Could not write beside {self.path}: {error.strerror}. Every answer is in the ledger; free some space and "
                "run again."
            ) from error
        if number >= len(self._offsets):
            self._offsets.extend([MISSING] * (number + 1 - len(self._offsets)))
        self.count += self._offsets[number] == MISSING
        self._offsets[number] = end

    def finish(self) -> int:
        """Writes the target atomically, in order, and returns how many records it holds."""
        return write_lines(self.path, self._lines())

    def _lines(self) -> Iterator[str]:
        assert self._file is not None, "used outside its block"
        for offset in self._offsets:
            if offset != MISSING:
                self._file.seek(offset)
                yield self._file.readline().decode("utf-8", "surrogatepass").rstrip("\n")
