"""Dollar caps of the whole gateway: over everything that the ledger ever paid for it, and over each day (UTC)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from distil.calls.client import Client

PURPOSE = "serve"


def utc_now() -> datetime:
    """The time by which a day begins."""
    return datetime.now(UTC)


def midnight_before(now: datetime) -> datetime:
    """When its day began."""
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def until_tomorrow_s(now: datetime) -> int:
    """Seconds until the next day begins, at least 1."""
    return max(1, round((midnight_before(now) + timedelta(days=1) - now).total_seconds()))


class DayBudget:
    """Keeps the client's cap at what was paid before today plus the day's dollars, or at the total cap where that is lower.

    The client reserves the most that a request may cost before it is sent, so neither cap is passed.
    """

    def __init__(
        self, client: Client, total_usd: float | None, day_usd: float | None, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._client, self._total_usd, self._day_usd, self._clock = client, total_usd, day_usd, clock
        self._midnight: datetime | None = None
        """The beginning of the day that the cap is for."""
        self.of_the_day = False
        """Whether the day's cap is the one that binds."""

    def renew(self) -> None:
        """Before each request: on a new day the cap moves up."""
        if self._day_usd is None:
            return
        midnight = midnight_before(self._clock())
        if midnight == self._midnight:
            return
        if self._midnight is None:  # a start in the middle of a day: what was paid since midnight counts
            ledger = self._client.ledger
            before = ledger.spent(PURPOSE, before=midnight.isoformat()) + ledger.uncertain(PURPOSE).usd
        else:
            before = self._client.paid_usd
        self._midnight = midnight
        cap = before + self._day_usd
        self.of_the_day = self._total_usd is None or cap < self._total_usd
        self._client.cap(cap if self.of_the_day else self._total_usd)

    @property
    def seconds_left(self) -> int:
        """Until the next day begins."""
        return until_tomorrow_s(self._clock())
