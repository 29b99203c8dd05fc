"""Writes answers.jsonl and failures.jsonl: records are appended as they arrive and put in the order of the prompts at the end.

Memory is eight bytes per record. A crash loses nothing: the ledger is the truth, and the next run writes them from it for free.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from distil.collect.questions import Question
from distil.errors import WorkFailed
from distil.records import Record
from distil.runs.jsonl import read_lines, record_line, write_lines

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
        for part in self.path.parent.glob(f".{self.path.name}.*.part"):
            part.unlink(missing_ok=True)  # of a process that was killed: the stage's lock lets only one run at a time
        self._file = self._part.open("w+b")
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
        self._part.unlink(missing_ok=True)

    def has(self, position: int) -> bool:
        """Whether there is a record for this position."""
        return position < len(self._offsets) and self._offsets[position] != MISSING

    def add(self, position: int, record: Record) -> None:
        """Stores a record for its position in the order. Raises WorkFailed when the disk is full."""
        self._append(position, record_line(record).encode("utf-8", "surrogatepass") + b"\n")

    def copy(self, position: int, offset: int) -> None:
        """Stores a line of the existing file, which starts at byte `offset`."""
        with self.path.open("rb") as existing:
            existing.seek(offset)
            self._append(position, existing.readline().rstrip(b"\r\n") + b"\n")

    def existing(self) -> dict[str, int]:
        """Answer id -> byte offset of its line in the file that an earlier run wrote."""
        if not self.path.exists():
            return {}
        offsets, offset = {}, 0
        ids = (str(line.get("answer_id") or line.get("id")) for _, line in read_lines(self.path))
        with self.path.open("rb") as file:
            for raw in file:
                if raw.strip():
                    offsets[next(ids)] = offset
                offset += len(raw)
        return offsets

    def finish(self) -> int:
        """Writes the target atomically, in order, and returns the number of records."""
        return write_lines(self.path, self._lines())

    def _append(self, position: int, line: bytes) -> None:
        assert self._file is not None, "used outside its block"
        try:
            end = self._file.seek(0, os.SEEK_END)
            self._file.write(line)
        except OSError as error:
            raise WorkFailed(
                f"Could not write next to {self.path}: {error.strerror}. Every answer is in the ledger; free some space and "
                "run the command again."
            ) from error
        if position >= len(self._offsets):
            self._offsets.extend([MISSING] * (position + 1 - len(self._offsets)))
        self.count += self._offsets[position] == MISSING
        self._offsets[position] = end

    def _lines(self) -> Iterator[str]:
        assert self._file is not None, "used outside its block"
        for offset in self._offsets:
            if offset != MISSING:
                self._file.seek(offset)
                yield self._file.readline().decode("utf-8", "surrogatepass").rstrip("\n")


def carry_over(
    questions: Iterator[Question], answers: OrderedWriter, failures: OrderedWriter, *, failures_only: bool = False
) -> None:
    """Keeps the lines of earlier runs for what this run did not settle (--limit, --only failed, stopped halfway)."""
    existing = [(failures, failures.existing())] if failures_only else [(w, w.existing()) for w in (answers, failures)]
    if not any(offsets for _, offsets in existing):
        return
    for question in questions:
        if answers.has(question.position) or failures.has(question.position):
            continue
        for writer, offsets in existing:
            if question.answer_id in offsets:
                writer.copy(question.position, offsets[question.answer_id])
                break
