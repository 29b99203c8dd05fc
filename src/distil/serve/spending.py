"""What the teacher's answers to each API key cost, and a key's cap of dollars a day. The file survives a restart.

The most that an answer may cost is set aside before the teacher is asked, so that many requests at once don't pass the cap.
The student's answers cost nothing and are never refused. Not serve.budget_usd: that one is of the whole gateway.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from distil.calls.config import TeacherConfig
from distil.calls.limits.estimate import max_input_tokens
from distil.calls.prices import price_of
from distil.errors import WorkFailed
from distil.progress import dollars, say
from distil.runs.jsonl import read_records, record_line, write_records
from distil.runs.private import create_private
from distil.runs.schemas.key_spending import KeySpending
from distil.serve.day_budget import until_tomorrow_s, utc_now
from distil.serve.fallback import Fallback
from distil.serve.keys import Keys
from distil.serve.wire import ChatReply, ChatRequest, EngineFailed

MOST_LINES = 5_000
"""Lines that may be added before the file is rewritten with one line for each key and day."""


class CapReached(EngineFailed):
    """The dollars of a key are spent for today."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message, status=429)
        self.code, self.retry_after_s = "insufficient_quota", retry_after_s


class Spending:
    """Adds up what each key costs, and refuses what would pass a cap. Used on the event loop only."""

    def __init__(self, path: Path, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._path, self._clock = path, clock
        self._paid: dict[tuple[str, str], tuple[float, int]] = {}
        self._held: dict[str, float] = defaultdict(float)
        self._added = 0
        self._failed = False

    def start(self) -> None:
        """Reads what was spent before. Raises UserError when the file can't be read."""
        self._paid = added_up(read_spending(self._path))

    def today(self, name: str) -> float:
        """Dollars that a key has cost today."""
        return self._paid.get((name, self._day()), (0.0, 0))[0]

    def hold(self, name: str, most: float, cap: float | None) -> None:
        """Sets `most` dollars aside. Raises CapReached where they don't fit."""
        spent = self.today(name)
        if cap is not None and spent + self._held[name] + most > cap + 1e-12:
            wait = 1 if self._held[name] > 0 and spent + most <= cap else until_tomorrow_s(self._clock())
            raise CapReached(
                f"The teacher's answer may cost {dollars(most)}, and this key has spent {dollars(spent)} of its {dollars(cap)} "
                "for today (UTC).",
                wait,
            )
        self._held[name] += most

    def settle(self, name: str, held: float, usd: float) -> None:
        """Gives back what was set aside and counts what was paid."""
        self._held[name] = max(0.0, self._held[name] - held)
        if usd <= 0:
            return
        day = self._day()
        paid, answers = self._paid.get((name, day), (0.0, 0))
        self._paid[name, day] = (paid + usd, answers + 1)
        self._write(KeySpending(name=name, day=day, usd=usd))

    def _write(self, row: KeySpending) -> None:
        """The system has the line when this returns: it survives the end of the gateway, however that comes."""
        try:
            self._added += 1
            if self._added > MOST_LINES:
                write_records(self._path, rows_of(self._paid), private=True)
                self._added = 0
                return
            self._path.parent.mkdir(parents=True, exist_ok=True)
            create_private(self._path)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(record_line(row) + "\n")
            self._failed = False
        except (OSError, WorkFailed) as error:  # the answer is paid for, and its client gets it
            if not self._failed:
                why = error.strerror if isinstance(error, OSError) else error
                say(f"distil serve: can't write {self._path} ({why}); a restart will forget what keys spend")
            self._failed = True

    def _day(self) -> str:
        return self._clock().date().isoformat()


class KeyedFallback(Fallback):
    """The teacher, paid for by the key that asks."""

    def __init__(
        self,
        ledger: Path,
        teacher: TeacherConfig,
        budget_usd: float | None,
        *,
        concurrency: int | None,
        queue: int,
        usd_per_day: float | None,
        cache: bool,
        keys: Keys,
        spending: Spending,
    ) -> None:
        """keys: whose caps hold. The others as of a Fallback."""
        super().__init__(
            ledger, teacher, budget_usd, concurrency=concurrency, queue=queue, usd_per_day=usd_per_day, cache=cache
        )
        self._teacher, self._keys, self.spending = teacher, keys, spending

    async def start(self) -> None:
        """Raises UserError."""
        self.spending.start()
        await super().start()

    async def answer(self, request: ChatRequest, left_s: float | None = None) -> ChatReply:
        """Raises BadRequest, CapReached among them."""
        name = request.caller.key
        if name is None:
            return await super().answer(request, left_s)
        cap = self._keys.usd_per_day(name)
        held = 0.0 if cap is None else self.most(request)
        self.spending.hold(name, held, cap)
        paid = 0.0
        try:
            reply = await super().answer(request, left_s)
            paid = reply.usd
            return reply
        except (asyncio.CancelledError, EngineFailed) as error:
            given_up = not isinstance(error, EngineFailed) or error.status == 504
            paid = held if given_up else 0.0  # it was sent, so it may be charged for
            raise
        finally:
            self.spending.settle(name, held, paid)

    def most(self, request: ChatRequest) -> float:
        """The most that an answer may cost, in dollars: no text has more tokens than bytes."""
        wire = [message.to_wire() for message in request.messages]
        asked = json.dumps([wire, request.tools, request.response_format, request.further], ensure_ascii=False)
        tokens = max_input_tokens(request.messages, bool(request.tools), len(asked.encode("utf-8", "replace")))
        return price_of(self._teacher.model, self._teacher.price).max_cost(tokens, self.sampling(request).max_tokens)


def read_spending(path: Path) -> list[KeySpending]:
    """All rows. Raises UserError when the file can't be read."""
    if not path.exists():
        return []
    _end_with_a_line(path)
    return list(read_records(path, KeySpending))


def added_up(rows: Sequence[KeySpending]) -> dict[tuple[str, str], tuple[float, int]]:
    """(name, day) -> (dollars, answers)."""
    paid: dict[tuple[str, str], tuple[float, int]] = {}
    for row in rows:
        usd, answers = paid.get((row.name, row.day), (0.0, 0))
        paid[row.name, row.day] = (usd + row.usd, answers + row.answers)
    return paid


def spent_by_key(rows: Sequence[KeySpending]) -> dict[str, tuple[float, float]]:
    """Key -> (dollars today, dollars in all)."""
    today, spent = utc_now().date().isoformat(), dict[str, tuple[float, float]]()
    for (name, day), (usd, _) in added_up(rows).items():
        now, ever = spent.get(name, (0.0, 0.0))
        spent[name] = (now + usd * (day == today), ever + usd)
    return spent


def rows_of(paid: dict[tuple[str, str], tuple[float, int]]) -> list[KeySpending]:
    """One row for each key and day."""
    return [KeySpending(name=n, day=d, usd=usd, answers=count) for (n, d), (usd, count) in sorted(paid.items())]


def _end_with_a_line(path: Path) -> None:
    """Cuts off a line that a full disk left half written."""
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        os.truncate(path, data.rfind(b"\n") + 1)
