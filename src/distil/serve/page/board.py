"""What the page shows, counted since the start from the requests that the gateway answers. Bounded, whatever is asked.

The texts of the latest fallbacks are kept, cut, for whoever may look at the page; nothing is written to disk.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from distil.runs.schemas.gateway_state import LiveFigures
from distil.serve.page.fallbacks import Fallbacks
from distil.serve.served import Served

LATENCIES = 1000
"""Latest requests that a percentile is over."""
MINUTES = 60
REASONS = 60
"""Different reasons that are counted apart; they come from a closed list."""


@dataclass(frozen=True)
class Promise:
    """What the gateway promises, in words."""

    state: str
    """certified | none (no threshold was certified) | uncalibrated (no promise is made) | void (it no longer holds)."""
    words: str


@dataclass(frozen=True)
class About:
    """What the board is told about its gateway."""

    name: str
    teacher: str | None
    """The teacher's name; None = there is none."""
    promise: Callable[[], Promise]
    live: Callable[[], LiveFigures | None]
    """None as long as nothing was audited, or where nothing is."""
    worth: Callable[[Served], float] | None
    """What the teacher would have charged for an answer of the student, in dollars; None where there is no teacher."""


class Board:
    """A watcher of the gateway."""

    def __init__(self, about: About, fallbacks: Fallbacks, clock: Callable[[], float] = time.time) -> None:
        self.about, self.fallbacks, self._clock = about, fallbacks, clock
        self.started = clock()
        self.counts: Counter[tuple[str, str]] = Counter()
        """(who answered, why) -> requests."""
        self.refused: Counter[int] = Counter()
        """HTTP status -> requests that got an error."""
        self.spent = self.saved = 0.0
        self._minutes: deque[tuple[int, Counter[str]]] = deque(maxlen=MINUTES)
        self._seconds: dict[str, deque[float]] = {by: deque(maxlen=LATENCIES) for by in ("student", "teacher")}

    def __call__(self, served: Served) -> None:
        """Takes an answered request."""
        by, reason = served.decision
        known = (by, reason) in self.counts or len(self.counts) < REASONS
        self.counts[by, reason if known else "other"] += 1
        self._minute()[by] += 1
        self._seconds[by].append(served.seconds)
        self.spent += served.usd
        if by == "student" and self.about.worth is not None:
            self.saved += self.about.worth(served)
        if served.teacher is not None:
            self.fallbacks.add(served)

    def refuse(self, request_id: str, status: int, code: str | None) -> None:
        """Takes a request that got an error."""
        self.refused[status] += 1
        self._minute()["error"] += 1

    def state(self, after: int) -> dict[str, object]:
        """All that the page shows, as JSON; of the fallbacks those with a number above `after`."""
        now, live, promise = self._clock(), self.about.live(), self.about.promise()
        return {
            "name": self.about.name,
            "teacher": self.about.teacher,
            "now": now,
            "started": self.started,
            "answered": [{"by": by, "reason": reason, "count": n} for (by, reason), n in self.counts.most_common()],
            "refused": {str(status): count for status, count in sorted(self.refused.items())},
            "minutes": self._past(int(now // 60)),
            "seconds": {by: _percentiles(found) for by, found in self._seconds.items()},
            "usd": {"spent": self.spent, "saved": None if self.about.worth is None else self.saved},
            "promise": {"state": promise.state, "words": promise.words},
            "audit": None if live is None else live.model_dump(mode="json"),
            "fallbacks": self.fallbacks.since(after),
            "last": self.fallbacks.last,
            "marks": dict(self.fallbacks.marks()),
        }

    def _minute(self) -> Counter[str]:
        at = int(self._clock() // 60)
        if not self._minutes or self._minutes[-1][0] != at:
            self._minutes.append((at, Counter()))
        return self._minutes[-1][1]

    def _past(self, now: int) -> list[Mapping[str, int]]:
        """The last hour, minute by minute, oldest first."""
        known = dict(self._minutes)
        return [known.get(at, Counter()) for at in range(now - MINUTES + 1, now + 1)]


def _percentiles(seconds: deque[float]) -> dict[str, float] | None:
    if not seconds:
        return None
    ordered = sorted(seconds)
    p50, p95 = (ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.95))
    return {"p50": p50, "p95": p95}
