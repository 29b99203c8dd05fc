"""recorded/FILE.jsonl: a teacher whose answers are already in a file, keyed by the prompt. Costs nothing, needs no network.

For distilling from existing answers, and the public fake of a teacher in tests. Lines of any of these shapes:
`{"prompt", "output"}` (also instruction / response / completion), `{"messages": [..., assistant]}`, `{"request", "response"}`
as OpenAI logs them, or Distil's own answer lines. Several lines for one prompt are its samples, in file order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from distil.calls.faults import CallFailed, Fault
from distil.calls.providers.base import Parsed
from distil.calls.providers.common import loads
from distil.calls.request import JsonObject, Request
from distil.errors import UserError
from distil.ids import canonical_json, file_sha256
from distil.records import Message, Prompt, Usage
from distil.runs.jsonl import describe
from distil.text import spoken_turns

PROMPT_FIELDS = ("prompt", "instruction", "question", "input")
OUTPUT_FIELDS = ("output", "response", "completion", "answer", "text")
CHARACTERS_PER_TOKEN = 4


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
        return _parsed(line, request)


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
    if isinstance(line.get("prompt_id"), str):
        return [_digest("id", line["prompt_id"])]
    try:
        messages, answer = split_line(line)
    except ValidationError as error:
        raise UserError(f"{path}, line {number}: {describe(error)}.") from None
    if messages is None or answer is None:
        raise UserError(
            f"{path}, line {number}: found the fields {', '.join(sorted(line)) or 'none'}; expected a prompt and an answer, as "
            '{"prompt": ..., "output": ...} or {"messages": [..., {"role": "assistant", "content": ...}]}.'
        )
    return list(dict.fromkeys(_message_keys(messages)))


def split_line(line: JsonObject) -> tuple[list[Message] | None, Any]:
    """(the request's messages, the answer as it is) of a recorded line; None for what is not there.

    Raises pydantic.ValidationError on invalid messages.
    """
    request = line.get("request")
    if isinstance(request, dict) and "response" in line:
        request = request.get("body", request)
        return _messages(request.get("messages")), line["response"]
    turns = line.get("messages")
    if isinstance(turns, list) and turns and isinstance(turns[-1], dict) and turns[-1].get("role") == "assistant":
        return _messages(turns[:-1]), turns[-1]
    prompt = turns or next((line[field] for field in PROMPT_FIELDS if line.get(field)), None)
    answer = next((line[field] for field in OUTPUT_FIELDS if line.get(field) is not None), None)
    return _messages(prompt), answer


def _messages(turns: Any) -> list[Message] | None:
    if isinstance(turns, str) and turns.strip():
        return [Message(role="user", content=turns)]
    if isinstance(turns, list) and turns:
        return [Message.model_validate(turn) for turn in turns]
    return None


def _request_keys(request: Request) -> Iterator[bytes]:
    """What to look a request up by, the most exact first: its prompt id, all its turns, its turns without the system one."""
    prompt = Prompt.make(request.messages, tools=request.tools, response_format=request.response_format)
    yield _digest("id", prompt.id)
    yield from _message_keys(request.messages)


def _message_keys(messages: list[Message]) -> Iterator[bytes]:
    for kind, turns in (("all", messages), ("spoken", spoken_turns(messages))):
        yield _digest(kind, [[turn.role, turn.text.strip()] for turn in turns])


def _digest(kind: str, value: Any) -> bytes:
    return blake2b(canonical_json([kind, value]).encode("utf-8", "surrogatepass"), digest_size=10).digest()


def _parsed(line: JsonObject, request: Request) -> Parsed:
    answer = line if isinstance(line.get("prompt_id"), str) else split_line(line)[1]
    if isinstance(answer, dict) and ("choices" in answer or "body" in answer):
        from distil.calls.providers.chat import ChatProvider

        body = answer.get("body", answer)
        return ChatProvider("recorded", "", None).parse(200, {}, json.dumps(body).encode())
    fields = answer if isinstance(answer, dict) else {"content": answer}
    text = fields.get("text", fields.get("content"))
    text = "" if text is None else text if isinstance(text, str) else Message(role="assistant", content=text).text
    return Parsed(
        text=text,
        reasoning=fields.get("reasoning") or fields.get("reasoning_content"),
        tool_calls=fields.get("tool_calls"),
        finish_reason=str(line.get("finish_reason") or ("tool_calls" if fields.get("tool_calls") else "stop")),
        usage=_usage(line.get("usage"), request, text),
        logprobs=line.get("logprobs") if isinstance(line.get("logprobs"), list) else None,
    )


def _usage(usage: Any, request: Request, text: str) -> Usage:
    """As recorded; estimated where the line has none."""
    if isinstance(usage, dict):
        return Usage(
            input_tokens=int(usage.get("input_tokens") or usage.get("prompt_tokens") or 0),
            output_tokens=int(usage.get("output_tokens") or usage.get("completion_tokens") or 0),
        )
    characters = sum(len(message.text) for message in request.messages)
    return Usage(
        input_tokens=-(-characters // CHARACTERS_PER_TOKEN), output_tokens=-(-len(text) // CHARACTERS_PER_TOKEN)
    )
