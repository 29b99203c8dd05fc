"""A dollar cap that holds with any number of requests in flight: the most a request can cost is reserved before it is sent.

When the rest is too small for one more request, it waits for those in flight to settle for less; when none is in flight
either, the cap is reached. Not the ledger: what was spent before comes in as a number. One per Client.
"""

from __future__ import annotations

import asyncio
from collections import deque

from distil.errors import BudgetReached
from distil.progress import dollars

CAP_OPTION = "--set collect.budget_usd="


class Reservation:
    """Dollars set aside for one request. room: how many times as much must be free while others are in flight."""

    __slots__ = ("room", "taken", "usd")

    def __init__(self, usd: float, room: float = 1.0) -> None:
        self.usd = usd
        self.room = room
        self.taken = False


class Budget:
    """`reserve` before sending, `settle` with the real cost after. Without a cap it only counts. option: what raises the cap."""

    def __init__(
        self, cap_usd: float | None, spent_usd: float = 0.0, uncertain_usd: float = 0.0, *, option: str = CAP_OPTION
    ) -> None:
        self.cap_usd = cap_usd
        self._option = option
        self.spent_usd = spent_usd
        """Paid, answers in hand."""
        self.uncertain_usd = uncertain_usd
        """May have been paid, no answer in hand: counts against the cap, or the cap would not hold."""
        self.reserved_usd = 0.0
        self._caution_usd = 0.0
        self._waiting: deque[tuple[Reservation, asyncio.Future[None]]] = deque()

    @property
    def waiting(self) -> int:
        """Requests that wait for others to settle, because the most that they may cost does not fit under the cap now."""
        return len(self._waiting)

    @property
    def left_usd(self) -> float:
        """What can still be reserved; infinite without a cap."""
        if self.cap_usd is None:
            return float("inf")
        return self.cap_usd - self.spent_usd - self.uncertain_usd - self.reserved_usd

    @property
    def overdrawn(self) -> bool:
        """More is set aside than the cap allows: reservations were raised after they were made."""
        return self.left_usd < -1e-12

    async def reserve(self, what: float | Reservation) -> None:
        """Sets dollars aside. Waits while requests in flight may still give some back; raises BudgetReached when none can."""
        held = what if isinstance(what, Reservation) else Reservation(what)
        if self.cap_usd is None or held.usd <= 0 or (not self._waiting and self._fits(held)):
            self._take(held)
            return
        if self.reserved_usd <= 1e-12 and not self._waiting:
            raise self.reached(held.usd)
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (held, waiter)
        self._waiting.append(entry)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.settle(held, 0.0)
            elif entry in self._waiting:
                self._waiting.remove(entry)
                self._admit()
            raise

    def raise_to(self, cap_usd: float | None) -> None:
        """Another cap; who waits for room may have it now."""
        self.cap_usd = cap_usd
        self._admit()

    def take_free(self, held: Reservation) -> bool:
        """Sets dollars aside if they are free now and nobody waits for them."""
        if self.cap_usd is not None and held.usd > 0 and (self._waiting or not self._fits(held)):
            return False
        self._take(held)
        return True

    def revise(self, held: Reservation, usd: float, room: float) -> None:
        """Another amount for a request that is in flight already: nothing more is sent until the new amount fits, too."""
        if held.taken:
            self.reserved_usd += usd - held.usd
            self._caution_usd += usd * (room - 1) - held.usd * (held.room - 1)
        held.usd, held.room = usd, room
        self._admit()

    def settle(self, reserved: float | Reservation, usd: float, uncertain_usd: float = 0.0) -> None:
        """Gives a reservation back and counts what was paid, and what may have been paid."""
        held = reserved if isinstance(reserved, Reservation) else Reservation(reserved)
        self.reserved_usd = max(self.reserved_usd - held.usd, 0.0)
        self._caution_usd = max(self._caution_usd - held.usd * (held.room - 1), 0.0)
        self.spent_usd += usd
        self.uncertain_usd += uncertain_usd
        self._admit()

    def reached(self, usd: float) -> BudgetReached:
        """The error that says how far it went and what to type next."""
        return budget_reached(self.cap_usd or 0.0, self.spent_usd, self.uncertain_usd, usd, self._option)

    def _take(self, held: Reservation) -> None:
        held.taken = True
        self.reserved_usd += held.usd
        self._caution_usd += held.usd * (held.room - 1)

    def _fits(self, held: Reservation) -> bool:
        alone = self.reserved_usd <= 1e-12
        needed, left = (held.usd, self.left_usd) if alone else (held.usd * held.room, self.left_usd - self._caution_usd)
        return needed <= left + 1e-12

    def _admit(self) -> None:
        while self._waiting:
            held, waiter = self._waiting[0]
            if waiter.done():
                self._waiting.popleft()
            elif self._fits(held):
                self._waiting.popleft()
                self._take(held)
                waiter.set_result(None)
            elif self.reserved_usd <= 1e-12:
                self._waiting.popleft()
                waiter.set_exception(self.reached(held.usd))
            else:
                return


def budget_reached(
    cap_usd: float, spent_usd: float, uncertain_usd: float, next_usd: float, option: str = CAP_OPTION
) -> BudgetReached:
    """The error that says how far it went and what to type next: twice of what is used up, or room for ten more requests."""
    unsure = f", at most {dollars(uncertain_usd)} more for requests without a whole answer" if uncertain_usd > 0 else ""
    used = max(cap_usd, spent_usd + uncertain_usd)
    return BudgetReached(
        f"The budget of {dollars(cap_usd)} is reached: {dollars(spent_usd)} was paid{unsure}, and the next request may cost "
        f"{dollars(next_usd)}. Everything that was paid for is kept; continue with "
        f"`{option}{dollars(used + max(next_usd * 10, used)).lstrip('$').replace(',', '')}`."
    )
