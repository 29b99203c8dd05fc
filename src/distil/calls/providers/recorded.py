"""recorded/FILE.jsonl: a teacher whose answers are already in a file, keyed by the prompt. Costs nothing, needs no network.

For distilling from existing answers, and the public fake of a teacher in tests. The shapes of a line: recorded_lines.py.
Several lines for one prompt are its samples, in file order.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from distil.calls.faults import CallFailed, Fault, GarbledReply
from distil.calls.providers.base import Parsed
from distil.calls.providers.common import loads
from distil.calls.providers.recorded_lines import digest, message_keys, parse_recorded, split_line
from distil.calls.request import JsonObject, Request
from distil.errors import UserError
from distil.ids import file_sha256
from distil.records import Prompt
from distil.runs.jsonl import describe


class RecordedProvider:
    """Answers from a JSON Lines file; only an index of byte offsets is held in memory. A relative path starts at `root`.

    Where a line carries no `usage`, tokens are estimated at four characters each: nothing was billed, but costs of a real
    teacher can then be planned from the file. Raises UserError when the file is missing or has a line that it can't use.
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
        for number, offset, line in _lines(self.path):
            for key in _line_keys(self.path, number, line):
                self._offsets.setdefault(key, []).append(offset)

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
        with self.path.open("rb") as file:
            file.seek(offsets[request.sample])
            line = loads(file.readline())
        try:
            return parse_recorded(line, split_line(line).answer, request.messages)
        except GarbledReply as error:  # the same line would fail again
            message = f"{self.path.name}: {error}"
            raise CallFailed(message, request=request, fault=Fault("bad_request", message, None, False)) from None


def _lines(path: Path) -> Iterator[tuple[int, int, JsonObject]]:
    """(line number, byte offset, object). Raises UserError that names file and line."""
    offset = 0
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if raw.strip():
                try:
                    line = loads(raw)
                except ValueError as error:
                    raise UserError(
                        f"{path}, line {number}: not valid JSON ({error}). Fix or delete that line and run again."
                    ) from None
                if not isinstance(line, dict):
                    raise UserError(f"{path}, line {number}: found a JSON {type(line).__name__}, expected an object.")
                yield number, offset, line
            offset += len(raw)


def _line_keys(path: Path, number: int, line: JsonObject) -> list[bytes]:
    try:
        parts = split_line(line)
    except ValidationError as error:
        raise UserError(f"{path}, line {number}: {describe(error)}.") from None
    if parts.answer is None or not (parts.prompt_id or parts.asked):
        raise UserError(
            f"{path}, line {number}: found the fields {', '.join(sorted(line)) or 'none'}; expected a prompt and an answer, as "
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
