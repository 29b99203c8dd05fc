"""When requests were made, as far as a log says: how many of them make a month."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from distil.calls.request import JsonObject
from distil.collect.logs import Logged
from distil.cost.arithmetic import DAYS_PER_MONTH

KEYS = (
    "timestamp", "created_at", "createdAt", "created", "start_time", "startTime", "request_created_at", "time", "date",
    "ts", "datetime", "logged_at", "startTimeUnixNano",
)  # fmt: skip
"""Where tools write the time: Langfuse, LangSmith, Helicone, LiteLLM, OpenTelemetry, and the replies of OpenAI."""
LEAST_DAYS = 1.0
"""A shorter log says nothing about a month."""
KNOWN_SHARE = 0.9
_EARLIEST, _LATEST = datetime(2018, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


@dataclass
class Span:
    """The time that requests cover."""

    first: datetime | None = None
    last: datetime | None = None
    timed: int = 0
    """Requests with a time."""
    requests: int = 0

    def add(self, when: datetime | None) -> None:
        """One request."""
        self.requests += 1
        if when is None:
            return
        self.timed += 1
        self.first = when if self.first is None else min(self.first, when)
        self.last = when if self.last is None else max(self.last, when)

    def days(self) -> float | None:
        """Days from the first to the last request; None where the log does not say, or it is less than a day."""
        if self.first is None or self.last is None or self.timed < KNOWN_SHARE * self.requests or self.timed < 2:
            return None
        # n requests have n - 1 gaps between them
        days = (self.last - self.first).total_seconds() / 86_400 * self.timed / (self.timed - 1)
        return days if days >= LEAST_DAYS else None

    def a_month(self) -> float | None:
        """Requests a month at the log's pace; None where `days` is."""
        days = self.days()
        return None if days is None else self.requests * DAYS_PER_MONTH / days


def time_of(line: Logged) -> datetime | None:
    """When a request was made; None where the line does not say."""
    places: list[Mapping[str, object]] = [line.fields, line.answer.body or {}]
    for name in ("response", "metadata", "request"):
        inner = line.fields.get(name)
        if isinstance(inner, dict):
            places.append(inner)
    for place in places:
        found = _first(place)
        if found is not None:
            return found
    return None


def _first(place: Mapping[str, object] | JsonObject) -> datetime | None:
    for key in KEYS:
        if (value := place.get(key)) is not None and (when := _read(value)) is not None:
            return when
    return None


def _read(value: object) -> datetime | None:
    """ISO 8601, or seconds, milliseconds, microseconds or nanoseconds since 1970; None for anything else."""
    try:
        if isinstance(value, str) and not value.replace(".", "", 1).isdigit():
            when = datetime.fromisoformat(value.strip())
            when = when.replace(tzinfo=UTC) if when.tzinfo is None else when
        elif isinstance(value, (str, int, float)) and not isinstance(value, bool):
            seconds = float(value)
            if not math.isfinite(seconds) or seconds <= 0:
                return None
            while seconds > 1e11:
                seconds /= 1_000
            when = datetime.fromtimestamp(seconds, UTC)
        else:
            return None
    except (ValueError, OverflowError, OSError):
        return None
    return when if _EARLIEST < when < _LATEST else None
