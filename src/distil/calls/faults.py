"""How a call fails, classified by what must be done about it: providers classify, the session acts.

rate_limit   slow down, send again         shed        a cheap tier is full now: send again, or fall back
overload     the provider is full: as well quota       no money at the provider: the run stops
server       5xx: send again               auth, bad_request, not_found   never works: fail at once
garbled      a reply that is not one       connection, timeout            nothing or half of a reply came
pruned       answered and paid for long ago, and its text was deleted from the ledger: never sent again
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
    """Seconds to wait, as the provider requested."""
    retryable: bool = True
    """False: the same request would fail again."""

    @property
    def refusal(self) -> bool:
        """Refused as too fast or too many: nothing is wrong with the request, and waiting helps."""
        return self.kind in ("rate_limit", "overload", "shed")


class GarbledReply(Exception):
    """A provider's `parse` could not read a body as a whole answer. The request is sent again; the body is kept."""


class CallFailed(WorkFailed):
    """One request failed for good. Others are not affected; a later run may send the same request again."""

    def __init__(self, message: str, *, request: Request | None, fault: Fault, call_id: str | None = None) -> None:
        super().__init__(message)
        self.request = request
        self.fault = fault
        self.call_id = call_id


class QuotaExhausted(WorkFailed):
    """The account at the provider has no money or quota left: nothing more will be answered, so the run stops."""


class ProviderDown(WorkFailed):
    """Every request has failed for so long that the run stops cleanly; running again goes on where it stopped."""
