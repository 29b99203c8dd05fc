"""The ledger and the teachers' wire formats without any key: what is answered already, and under which key what will be.

Asks nothing and pays nothing. Used by forecast.py, rebuild.py, importing.py and buying.py.
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
from distil.calls.request import Reply, Request
from distil.records import Call


class Entry(NamedTuple):
    """What the ledger holds of one request."""

    call: Call
    parsed: Parsed | None
    """None: not answered, pruned, or unreadable."""

    def reply(self) -> Reply | None:
        """As the client would give it."""
        if self.parsed is None:
            return None
        kept = self.parsed.model_dump(exclude={"served_tier"})
        return Reply(
            **kept,
            usd=self.call.usd,
            latency_s=self.call.latency_s or 0.0,
            model=self.call.model,
            call_id=self.call.id,
            cached=True,
        )


class LedgerView:
    """Opened with the ledger for one project and its teachers. Raises UserError on an unknown name or a missing file."""

    def __init__(self, ledger: Ledger, teachers: Sequence[TeacherConfig], root: Path) -> None:
        self.ledger = ledger
        self.saw_pruned = False
        """`find` met an answer whose text was deleted from the ledger."""
        self._opened: dict[str, tuple[Opened, str]] = {}
        for teacher in teachers:
            if teacher.model not in self._opened:
                opened = open_keyless(teacher, root)
                self._opened[teacher.model] = (opened, endpoint_of(opened))

    def endpoint(self, model: str) -> str:
        """The teacher's part of the ledger's key."""
        return self._opened[model][1]

    def identify(self, request: Request) -> Identity:
        """Key and wire body. Raises UserError when the model can't be asked so."""
        opened, endpoint = self._opened[request.model]
        return identify(opened, request, endpoint)

    def find(self, request: Request, key: str | None = None) -> Entry | None:
        """What the ledger has of a request; None when it was never asked."""
        stored = self.ledger.find(key or self.identify(request).key)
        if stored is None:
            return None
        self.saw_pruned = self.saw_pruned or stored.pruned
        if stored.call.status != "answered" or stored.reply is None:
            return Entry(stored.call, None)
        return Entry(stored.call, self._parse(request.model, stored.reply))

    def state(self, key: str) -> tuple[Call, bool] | None:
        """(the call, it lies in a batch that is not finished) of a key, without its reply; None when it was never asked."""
        stored = self.ledger.find(key, text=False)
        return None if stored is None else (stored.call, stored.open and stored.call.tier == "batch")

    def _parse(self, model: str, body: bytes) -> Parsed | None:
        opened = self._opened[model][0]
        try:
            if opened.local is not None:
                return Parsed.model_validate_json(body)
            return opened.replicas[0].parse(200, {}, body)
        except (GarbledReply, ValueError):
            return None
