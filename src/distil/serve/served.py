"""What is known of one answered request: given to everybody who watches the gateway (log, page, capture, audit)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeAlias

from distil.serve.policy import Decision, who_answered
from distil.serve.wire import ChatReply, ChatRequest


class StudentId(NamedTuple):
    """Which student was asked: another one may serve by the time at which an answer is captured or audited."""

    name: str
    """Of the model in the project."""
    fingerprint: str
    """Hash of its weights, or of its server's address; "" where it is not used."""


UNKNOWN = StudentId("", "")


@dataclass(frozen=True)
class Served:
    """One answered request."""

    request: ChatRequest
    decision: Decision
    """Who answered, and why."""
    confidence: float | None
    """The student's confidence, between 0 and 1; None where it was not asked or gave no log-probabilities."""
    student: ChatReply | None
    """The student's answer, also where it was not used; None where it was not asked or failed."""
    teacher: ChatReply | None
    """The teacher's answer, where it was asked."""
    seconds: float
    """From the parsed request to the finished answer."""
    at: float = field(default_factory=time.time)
    """When the answer was finished, in seconds since 1970."""
    student_id: StudentId = UNKNOWN
    """The student in place when the request came."""

    @property
    def id(self) -> str:
        """The request's id."""
        return self.request.caller.request_id

    @property
    def reply(self) -> ChatReply:
        """The answer that the client got."""
        given = self.student if self.decision.by == "student" else self.teacher
        assert given is not None
        return given

    @property
    def usd(self) -> float:
        """What the request cost; 0 where the ledger had the answer."""
        return 0.0 if self.teacher is None else self.teacher.usd

    def headers(self) -> dict[str, str]:
        """HTTP headers that tell the client who answered."""
        return who_answered(self.decision, self.confidence)


Watcher: TypeAlias = Callable[[Served], None]
"""Called on the event loop after each answered request: it must return at once, and what it raises is only logged."""
Refused: TypeAlias = Callable[[str, int, str | None], None]
"""Called with the id, the HTTP status and the error's code of a request that got an error."""


class Companion(Protocol):
    """Works beside the gateway for as long as it runs."""

    async def start(self) -> None:
        """Begins, once requests can be answered."""
        ...

    async def stop(self) -> None:
        """Ends within seconds."""
        ...

    def figures(self) -> dict[str, float]:
        """For /metrics: name -> value."""
        ...
