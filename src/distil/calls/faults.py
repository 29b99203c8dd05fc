"""How a call fails, told apart by what must be done about it. Used by providers (they classify) and the client (it acts).

rate_limit   slow down, ask again          shed        a cheap tier has no room now: ask again, or fall back
overload     the provider is full: as well quota       no money at the provider: the run stops
server       5xx: ask again                auth, bad_request, not_found   never works: fail at once
garbled      a reply that is not one       connection, timeout            nothing or half of a reply came
pruned       answered and paid for long ago, and its text was deleted from the ledger: never asked again
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from distil.errors import WorkFailed

if TYPE_CHECKING:
    from distil.calls.request import Request

FaultKind = Literal[
    "rate_limit",
    "quota",
    "overload",
    "shed",
    "auth",
    "bad_request",
    "not_found",
    "server",
    "garbled",
    "connection",
    "timeout",
    "pruned",
]


class Fault(NamedTuple):
    """Why one attempt failed."""

    kind: FaultKind
    message: str
    """For a person; never holds a key."""
    retry_after_s: float | None = None
    """What the provider asked us to wait, in seconds."""
    retryable: bool = True
    """False: the same request would fail again."""

    @property
    def refusal(self) -> bool:
        """Refused as too fast or too many: nothing is wrong with the request, and waiting helps."""
        return self.kind in ("rate_limit", "overload", "shed")


class GarbledReply(Exception):
    """A provider's `parse` could not read a body as a whole answer. The client asks again; the body is kept."""


class CallFailed(WorkFailed):
    """One request failed for good. Others are not affected; the same request may be asked again in a later run."""

    def __init__(self, message: str, *, request: Request | None, fault: Fault, call_id: str | None = None) -> None:
        super().__init__(message)
        self.request = request
        self.fault = fault
        self.call_id = call_id


class QuotaExhausted(WorkFailed):
    """The account at the provider has no money or quota left: nothing more will be answered, so the run stops."""


class ProviderDown(WorkFailed):
    """Every request has failed for so long that the run stops cleanly; running again goes on where it stopped."""
