"""recorded/FILE.jsonl: a teacher whose answers are already in a file, keyed by the prompt. Costs nothing, needs no network.

For distilling from existing answers, and the public fake of a teacher in tests. The shapes of a line: recorded_lines.py.
Several lines for one prompt are its samples, in file order.
"""

from __future__ import annotations

import json
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from distil.calls.faults import CallFailed, Fault, GarbledReply
from distil.calls.providers.base import Parsed
from distil.calls.providers.common import loads, mapping
from distil.calls.providers.recorded_lines import digest, message_keys, parse_recorded, split_line
from distil.calls.request import JsonObject, Request
from distil.errors import UserError
from distil.ids import file_sha256
from distil.records import Prompt
from distil.runs.jsonl import describe
from distil.runs.reading import compression_of, encoding_of, kind_of
from distil.sources.files import open_source


class RecordedProvider:
    """Answers from a file of any kind that distil/sources/ reads; only an index of byte offsets is held in memory.

    A relative path starts at `root`. Where a row carries no `usage`, tokens are estimated at four characters each: nothing was
    billed, but costs of a real teacher can then be planned from the file. Raises UserError when the file is missing or has a row
    that it can't use.
    """

    def __init__(self, name: str, root: Path | None = None) -> None:
        self.path = (root or Path.cwd()) / name
        if not self.path.is_file():
            raise UserError(
                f"The recorded teacher's file {self.path} is not there. Expected recorded/FILE.jsonl with a path relative to "
                "the project (or absolute), one JSON object with a prompt and its answer on each line."
            )
        self._identity = file_sha256(self.path)
        self._offsets: dict[bytes, list[int]] = {}
        # Rows are looked up one by one later: those of a list, a table or a compressed file get lines of their own.
        self._spool = None if _is_plain(self.path) else _spooled(self.path)
        if self._spool is not None:
            weakref.finalize(self, self._spool.close)
        with self._opened() as file:
            for where, offset, line in _lines(self.path, file):
                for key in _line_keys(where, line):
                    self._offsets.setdefault(key, []).append(offset)

    def _opened(self) -> AbstractContextManager[IO[bytes]]:
        return self.path.open("rb") if self._spool is None else nullcontext(self._spool)

    def identity(self) -> str:
        """Hash of the file: another file gives other answers."""
        return self._identity

    async def answer(self, request: Request) -> Parsed:
        """Raises CallFailed when the file has no answer, or too few samples, for the prompt."""
        offsets = next((self._offsets[key] for key in _request_keys(request) if key in self._offsets), [])
        if request.sample >= len(offsets):
            found = f"only {len(offsets)} answers" if offsets else "no answer"
            message = f"{self.path.name} has {found} to this prompt (sample {request.sample} was requested)."
            raise CallFailed(message, request=request, fault=Fault("bad_request", message, None, False))
        with self._opened() as file:
            file.seek(offsets[request.sample])
            line = mapping(loads(file.readline()))
        line = mapping(line.get(_ROW)) or line
        try:
            return parse_recorded(line, split_line(line).answer, request.messages)
        except GarbledReply as error:  # the same line would fail again
            message = f"{self.path.name}: {error}"
            raise CallFailed(message, request=request, fault=Fault("bad_request", message, None, False)) from None


_ROW = "\0row"  # what a line of a spooled file is inside of, beside its place in the source


def _is_plain(path: Path) -> bool:
    """JSON Lines in UTF-8, as they can be read again from a byte offset."""
    if (
        compression_of(path) is not None
        or encoding_of(path) != "utf-8"
        or kind_of(path) not in (".jsonl", ".ndjson", "")
    ):
        return False
    with path.open("rb") as file:
        first = file.readline()
    try:
        return isinstance(loads(first), dict)
    except (ValueError, RecursionError):
        return not first.lstrip().startswith(b"[") and first.strip() not in (b"{", b"")


def _spooled(path: Path) -> IO[bytes]:
    """The rows of any other file as lines of a temporary one, which goes when this process ends."""
    spool = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the provider
    try:
        for row in open_source(path, setting="the teacher"):
            line = json.dumps({_ROW: row.fields, "where": row.where}, default=str)
            spool.write(line.encode() + b"\n")
    except BaseException:
        spool.close()
        raise
    return spool


def _lines(path: Path, file: IO[bytes]) -> Iterator[tuple[str, int, JsonObject]]:
    """(place, byte offset, object). Raises UserError that names file and line."""
    file.seek(0)
    offset = 0
    for number, raw in enumerate(file, start=1):
        if raw.strip():
            try:
                line = loads(raw)
            except (ValueError, RecursionError) as error:
                raise UserError(
                    f"{path}, line {number}: not valid JSON ({error}). Fix or delete that line and run again."
                ) from None
            if not isinstance(line, dict):
                raise UserError(f"{path}, line {number}: found a JSON {type(line).__name__}, expected an object.")
            if isinstance(line.get(_ROW), dict):
                yield str(line["where"]), offset, line[_ROW]
            else:
                yield f"{path}, line {number}", offset, line
        offset += len(raw)


def _line_keys(where: str, line: JsonObject) -> list[bytes]:
    try:
        parts = split_line(line)
    except ValidationError as error:
        raise UserError(f"{where}: {describe(error)}.") from None
    if parts.answer is None or not (parts.prompt_id or parts.asked):
        raise UserError(
            f"{where}: found the fields {', '.join(sorted(line)) or 'none'}; expected a prompt and an answer, as "
            '{"prompt": ..., "output": ...} or {"messages": [..., {"role": "assistant", "content": ...}]}.'
        )
    own = [digest("id", parts.prompt_id)] if parts.prompt_id else []
    return list(dict.fromkeys([*own, *(key for messages in parts.asked for key in message_keys(messages))]))


def _request_keys(request: Request) -> Iterator[bytes]:
    """What to look a request up by, the most exact first: its prompt id, all its turns, its turns without the system one."""
    prompt = Prompt.make(
        request.messages, tools=request.tools, tool_choice=request.tool_choice, response_format=request.response_format
    )
    yield digest("id", prompt.id)
    yield from message_keys(request.messages)
