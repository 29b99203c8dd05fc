"""Rows on their way into batches, taken in pieces that fit the vendor's and the budget's limits."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from distil.calls.batch.job import BatchRow
from distil.calls.identity import wire_bytes

LINE_OVERHEAD = 200  # bytes around a body in a vendor's line


class RowQueue:
    """Rows that are still to be sent; those that came back go first."""

    def __init__(self, rows: Iterable[BatchRow]) -> None:
        self._rows = iter(rows)
        self._back: deque[BatchRow] = deque()
        self.blocked: BatchRow | None = None
        """The row that did not fit into the rest of the budget, when the last `take` was empty for that reason."""
        self.cut = False
        """The last `take` ended because of the budget, with more rows to come."""

    def put_back(self, rows: Iterable[BatchRow]) -> None:
        """They will be taken before the others."""
        self._back.extend(rows)

    def take(self, max_rows: int, max_bytes: int, left_usd: float) -> list[BatchRow]:
        """The next rows within the limits; empty when there are none, or the first does not fit the budget."""
        taken, size, usd = list[BatchRow](), 0, 0.0
        self.blocked, self.cut = None, False
        while len(taken) < max_rows:
            row = self._back.popleft() if self._back else next(self._rows, None)
            if row is None:
                break
            size += len(wire_bytes(row.body)) + LINE_OVERHEAD
            usd += row.most_usd
            if (taken and size > max_bytes) or usd > left_usd:
                self._back.appendleft(row)
                self.cut = usd > left_usd
                self.blocked = None if taken else row
                break
            taken.append(row)
        return taken
