"""How a call fails, classified by what must be done about it: providers classify, the session acts.

rate_limit   slow down, send again         shed        a cheap tier is full now: send again, or fall back
overload     the provider is full: as well quota       no money at the provider: the run stops
server       5xx: send again               auth, bad_request, not_found   never works: fail at once
garbled      a reply that is not one       connection, timeout            nothing or half of a reply came
broken_off   an answer that ended as a fault (error, abort, a malformed tool call): a few more tries
filtered     a content filter refused this prompt: it fails alone, whatever happens to the others
unreadable   answered and paid for in an earlier run, and what was kept isn't a whole answer
pruned       answered and paid for long ago, and its text was deleted from the ledger: never sent again
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from distil.errors import WorkFailed

if TYPE_CHECKING:
    from distil.calls.request import Request
    from distil.records import Usage

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
    "broken_off",
    "filtered",
    "connection",
    "timeout",
    "unreadable",
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
    most: int | None = None
    """At most so many tries, where each is paid for and the same may come again; None: as many as the config allows."""
    doubtful: bool = False
    """Of `auth`: said by a 403 or inside a 200, which may as well mean this prompt (moderation, a firewall) as the key."""

    @property
    def refusal(self) -> bool:
        """Refused as too fast or too many: nothing is wrong with the request, and waiting helps."""
        return self.kind in ("rate_limit", "overload", "shed")


class GarbledReply(Exception):
    """A provider's `parse` could not read a body as a whole answer. The request is sent again; the body is kept.

    fault: what becomes of the request; usage: what the reply says was billed, where it could be read so far.
    """

    def __init__(self, message: str, *, fault: Fault | None = None, usage: Usage | None = None) -> None:
        super().__init__(message)
        self.fault = fault if fault is not None else Fault("garbled", message)
        self.usage = usage


class CallFailed(WorkFailed):
    """One request failed for good. Others are not affected; a later run may send the same request again."""

    def __init__(self, message: str, *, request: Request | None, fault: Fault, call_id: str | None = None) -> None:
        super().__init__(message)
        self.request = request
        self.fault = fault
        self.call_id = call_id


class QuotaExhausted(WorkFailed):
    """The account at the provider has no money or quota left: nothing more will be answered, so the run stops."""


class LedgerLost(WorkFailed):
    """Replies can't be kept any more, neither in the ledger nor beside it: the run ends at once, and cuts what is on its way."""


class ProviderDown(WorkFailed):
    """Every request has failed for so long that the run stops cleanly; running again goes on where it stopped."""
