"""The latest requests that the teacher answered, with both answers, and a person's marks on the teacher's."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from distil.errors import UserError
from distil.ids import answer_id, now
from distil.records import Prompt, Sampling
from distil.runs.marks import add_mark, read_marks
from distil.runs.schemas.marks import Mark
from distil.serve.served import Served
from distil.serve.wire import ChatReply, ChatRequest

KEPT = 200
CUT = 4_000
"""Characters of one text that are kept."""
TURNS = 12
"""Turns of a conversation that are kept, the last ones."""
WHOLE = 100_000
"""Characters of a conversation up to which its answer can be marked: an id is made of all of it."""

Cut = tuple[str, int]
"""(the beginning of a text, how many characters are left out)."""


@dataclass(frozen=True)
class Case:
    """One of them."""

    number: int
    shown: dict[str, object]
    answer_id: str | None
    """What a mark belongs to; None = too long to be marked."""
    prompt_id: str | None


class Fallbacks:
    """A ring of the last KEPT. Marks go where `distil view` keeps them: a bad answer is not trained on once it is collected."""

    def __init__(self, marks: Path | None, teacher: str | None, sampling: Sampling | None) -> None:
        self.last = 0
        """The number of the latest."""
        self._path, self._teacher, self._sampling = marks, teacher, sampling
        self._cases: deque[Case] = deque(maxlen=KEPT)
        self._marked: dict[str, str] = {}
        self._marked_at: tuple[int, int] | None = None

    def add(self, served: Served) -> None:
        """Takes a request that the teacher answered."""
        assert served.teacher is not None
        self.last += 1
        prompt_id, identity = self._ids(served.request)
        turns = served.request.messages
        shown: dict[str, object] = {
            "number": self.last,
            "id": served.id,
            "at": served.at,
            "by": served.decision.by,
            "reason": served.decision.reason,
            "confidence": served.confidence,
            "seconds": served.seconds,
            "usd": served.usd,
            "left_out": max(0, len(turns) - TURNS),
            "turns": [[turn.role, cut(turn.text)] for turn in turns[-TURNS:]],
            "student": _shown(served.student),
            "teacher": _shown(served.teacher),
            "answer_id": identity,
        }
        self._cases.append(Case(self.last, shown, identity, prompt_id))

    def since(self, after: int) -> list[dict[str, object]]:
        """Those with a number above `after`, oldest first."""
        return [case.shown for case in self._cases if case.number > after]

    def marks(self) -> Mapping[str, str]:
        """Answer id -> good or bad, for those that are kept."""
        if self._path is None or not self._path.exists():
            return {}
        found = self._path.stat()
        if self._marked_at != (found.st_mtime_ns, found.st_size):
            self._marked = {key: mark.mark for key, mark in read_marks(self._path).items()}
            self._marked_at = (found.st_mtime_ns, found.st_size)
        kept = [case.answer_id for case in self._cases if case.answer_id is not None]
        return {key: self._marked[key] for key in kept if key in self._marked}

    def mark(self, identity: str, word: Literal["good", "bad", "none"]) -> None:
        """Keeps a person's word. Raises UserError when there is no such answer here, WorkFailed when it can't be written."""
        case = next((case for case in self._cases if case.answer_id == identity), None)
        if case is None or case.answer_id is None or case.prompt_id is None or self._path is None:
            raise UserError("This answer is no longer kept here; `distil view` has all that were collected.")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        add_mark(self._path, Mark(answer_id=case.answer_id, prompt_id=case.prompt_id, mark=word, created=now()))

    def _ids(self, request: ChatRequest) -> tuple[str, str] | tuple[None, None]:
        """(the prompt's id, the answer's id) that they have when they are collected."""
        long = sum(len(turn.text) for turn in request.messages) > WHOLE
        if self._path is None or self._teacher is None or self._sampling is None or long:
            return None, None
        prompt = Prompt.make(
            request.messages,
            tools=request.tools,
            tool_choice=request.tool_choice,
            response_format=request.response_format,
        )
        sampling = self._sampling.model_dump(mode="json", exclude_none=True)
        return prompt.id, answer_id(prompt.id, self._teacher, sampling, 0)


def cut(text: str) -> Cut:
    """The beginning of a text."""
    return text[:CUT], max(0, len(text) - CUT)


def _shown(reply: ChatReply | None) -> dict[str, object] | None:
    if reply is None:
        return None
    calls = [f"{name} {arguments}" for name, arguments in _calls(reply)]
    return {"text": cut(reply.text), "calls": [cut(call) for call in calls[:TURNS]], "finish": reply.finish_reason[:40]}


def _calls(reply: ChatReply) -> Iterator[tuple[str, str]]:
    for call in reply.tool_calls or ():
        function = call.get("function")
        if isinstance(function, dict):
            yield str(function.get("name")), str(function.get("arguments"))
