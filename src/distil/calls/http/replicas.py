"""Several base URLs of one self-hosted teacher: each request goes to the one with the fewest outstanding requests.

One that refuses connections is left out, and tried again with a single request after a while; it is back when it answers.
Not a limiter: one gate covers all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from distil.calls.providers.base import HttpProvider

FIRST_PAUSE_S = 1.0
MAX_PAUSE_S = 30.0


class Replica:
    """One base URL."""

    def __init__(self, provider: HttpProvider) -> None:
        self.provider = provider
        self.outstanding = 0
        self.dead = False
        self.trying = False
        """One request is out to see whether it is back."""
        self.next_try = 0.0
        self.pause_s = FIRST_PAUSE_S


class Replicas:
    """`take` one, then `done` or `broke`. With a single URL it is always that one: the circuit breaker deals with it."""

    def __init__(self, providers: Sequence[HttpProvider], clock: Callable[[], float]) -> None:
        self.all = [Replica(provider) for provider in providers]
        self._clock = clock

    def take(self) -> Replica:
        """The live one with the fewest outstanding requests; one that is dead when its time to try has come, or all are."""
        now = self._clock()
        for replica in self.all:
            if replica.dead and not replica.trying and now >= replica.next_try:
                replica.trying = True
                return self._use(replica)
        live = [replica for replica in self.all if not replica.dead] or self.all
        return self._use(min(live, key=lambda replica: replica.outstanding))

    @property
    def silent(self) -> bool:
        """No address takes a connection now, and none that took one is still at work on a request."""
        return all(replica.dead and not replica.outstanding for replica in self.all)

    def done(self, replica: Replica) -> None:
        """It replied, with any status."""
        replica.outstanding -= 1
        replica.dead = replica.trying = False
        replica.pause_s = FIRST_PAUSE_S

    def broke(self, replica: Replica) -> None:
        """No connection, or it was cut."""
        replica.outstanding -= 1
        if replica.trying or not replica.dead:
            replica.next_try = self._clock() + replica.pause_s
            replica.pause_s = min(replica.pause_s * 2, MAX_PAUSE_S)
        replica.dead, replica.trying = True, False

    def gave_up(self, replica: Replica) -> None:
        """Cancelled or timed out: says nothing about the replica."""
        replica.outstanding -= 1
        replica.trying = False

    def _use(self, replica: Replica) -> Replica:
        replica.outstanding += 1
        return replica
