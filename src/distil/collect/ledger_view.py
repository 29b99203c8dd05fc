"""The ledger as collecting sees it: which questions are answered already, and under which key a question will be found.

Needs no API key, sends nothing and pays nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from distil.calls.config import TeacherConfig
from distil.calls.faults import GarbledReply
from distil.calls.identity import Identity, endpoint_of, identify
from distil.calls.ledger.store import Ledger
from distil.calls.providers.base import Parsed
from distil.calls.providers.catalog import Opened, open_keyless
from distil.calls.providers.reading import parse_local
from distil.calls.request import Reply, Request
from distil.collect.questions import MAX_EMPTY_RETRIES, Question, is_empty
from distil.records import Answer, Call


class Entry(NamedTuple):
    """What the ledger holds of one request."""

    call: Call
    parsed: Parsed | None
    """None: not answered, pruned, or unreadable."""
    unreadable: bool = False
    """There is a reply, and it isn't a whole answer (a fault of the provider, which earlier versions took for one)."""

    def reply(self) -> Reply | None:
        """The reply as `Client.complete` would return it."""
        if self.parsed is None:
            return None
        return Reply(
            **self.parsed.model_dump(exclude={"served_tier", "told"}),
            usd=self.call.usd,
            latency_s=self.call.latency_s or 0.0,
            model=self.call.model,
            call_id=self.call.id,
            cached=True,
        )


class LedgerView:
    """The ledger for one project and its teachers. Raises UserError on an unknown teacher or a missing file."""

    def __init__(self, ledger: Ledger, teachers: Sequence[TeacherConfig], root: Path) -> None:
        self.ledger = ledger
        self.saw_pruned = False
        """`find` met an answer whose text was pruned from the ledger."""
        self._opened: dict[str, tuple[Opened, str]] = {}
        for teacher in teachers:
            if teacher.model not in self._opened:
                opened = open_keyless(teacher, root)
                self._opened[teacher.model] = (opened, endpoint_of(opened))

    def endpoint(self, model: str) -> str:
        """The teacher's part of the ledger key."""
        return self._opened[model][1]

    def identify(self, request: Request) -> Identity:
        """Key and wire body. Raises UserError when the model does not support the request."""
        opened, endpoint = self._opened[request.model]
        return identify(opened, request, endpoint)

    def find(self, request: Request, key: str | None = None) -> Entry | None:
        """What the ledger has of a request; None when it was never sent."""
        stored = self.ledger.find(key or self.identify(request).key)
        if stored is None:
            return None
        self.saw_pruned = self.saw_pruned or stored.pruned
        if stored.call.status != "answered" or stored.reply is None:
            return Entry(stored.call, None)
        parsed = self._parse(request.model, stored.reply)
        return Entry(stored.call, parsed, unreadable=parsed is None)

    def answer(self, question: Question) -> Answer | None:
        """The answer to a question: the first reply in the ledger that is whole and not empty."""
        for retry in range(MAX_EMPTY_RETRIES):
            entry = self.find(question.request(retry=retry))
            reply = entry.reply() if entry is not None else None
            if entry is not None and entry.unreadable:
                continue
            if reply is None:
                return None
            if not is_empty(reply):
                return question.answer(reply)
        return None

    def state(self, key: str) -> tuple[Call | None, bool]:
        """(call without its reply, whether it is in an unfinished batch) of a key; (None, False) when it was never sent."""
        stored = self.ledger.find(key, text=False)
        return (None, False) if stored is None else (stored.call, stored.open and stored.call.tier == "batch")

    def _parse(self, model: str, body: bytes) -> Parsed | None:
        opened = self._opened[model][0]
        try:
            if opened.local is not None:
                return parse_local(body)
            return opened.replicas[0].parse(200, {}, body)
        except (GarbledReply, ValueError):
            return None
