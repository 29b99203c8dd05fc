"""What a provider is: pure translation between `Request` and a wire format. No sending, no retries, no money, no files.

`HttpProvider` for everything behind HTTP, `LocalProvider` for answers made in this process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from distil.calls.faults import Fault
from distil.calls.providers.usage import Told
from distil.calls.request import JsonObject, Request
from distil.records import Record, Usage

Unit = Literal["requests", "tokens", "input_tokens", "output_tokens"]
"""What a provider counts a minute. `tokens`: input and output together."""


class WireRequest(NamedTuple):
    """One HTTP POST with a JSON body."""

    url: str
    headers: dict[str, str]
    """Carries the key: never stored, never logged."""
    body: JsonObject
    """The request, including the model's wire name. It is part of the ledger's key, so nothing random or secret in it."""


class Parsed(Record):
    """A parsed reply. Derived: it can be made again from the raw body at no cost."""

    text: str
    """The visible answer; empty when there are only tool calls."""
    reasoning: str | None = None
    """Thinking, separate from the answer."""
    tool_calls: list[JsonObject] | None = None
    """In OpenAI's shape."""
    finish_reason: str
    """stop | length | tool_calls | content_filter | ..."""
    usage: Usage
    """Billed tokens."""
    logprobs: list[JsonObject] | None = None
    """One object per token, as OpenAI's `logprobs.content`."""
    served_tier: str | None = None
    """The tier that the provider says it billed (standard | flex | batch), where it says so; None: the requested one."""
    told: Told | None = None
    """The cost that the provider itself names, where it does: it beats every price table."""


class Window(NamedTuple):
    """What a reply's headers say about one limit per minute; None where they say nothing, or nonsense such as -1."""

    limit: int | None = None
    remaining: int | None = None
    reset_s: float | None = None
    """Seconds until the bucket is full again."""


LimitHint = Mapping[Unit, Window]
"""The limits that a reply announces; empty where it announces none."""


@runtime_checkable
class HttpProvider(Protocol):
    """One model at one base URL. Constructed as `Class(name, base_url, api_key)`; name is the model's name on the wire."""

    def wire(self, request: Request) -> WireRequest:
        """The HTTP request. Raises UserError when the model does not support the request."""

    def parse(self, status: int, headers: Mapping[str, str], body: bytes) -> Parsed:
        """Reads a whole 2xx body; `headers` may be empty (re-parsing from the ledger). Raises GarbledReply."""

    def fault(self, status: int, headers: Mapping[str, str], body: bytes) -> Fault:
        """Classifies a non-2xx reply, or a 2xx body that is an error. Header names are case-insensitive."""

    def limits(self, headers: Mapping[str, str]) -> LimitHint:
        """What the headers of any reply say about limits."""

    def ignored(self, request: Request) -> list[str]:
        """Names of the sampling settings that this model does not accept and that are left out of the body."""


@runtime_checkable
class Signs(Protocol):
    """An HttpProvider whose requests are signed when they are sent: a signature or a token that made earlier would be stale."""

    async def signed(self, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        """The headers to send. Raises UserError when there is no way to sign."""


@runtime_checkable
class Adjusts(Protocol):
    """An HttpProvider that learns from a refusal which of two names for a parameter its server takes.

    The ledger's key is made of what `wire` writes, so learning never asks for an answer again.
    """

    def adjusted(self, body: JsonObject) -> JsonObject:
        """The body as this server takes it; the same object while nothing is learned."""

    def learn(self, status: int, sent: JsonObject, reply: bytes) -> bool:
        """Reads a refusal. True: the same request, adjusted again, may work."""


@runtime_checkable
class LocalProvider(Protocol):
    """Answers made in this process (recorded, local, bundled). Constructed as `Class(name, root)`: no HTTP, no key, no price."""

    def identity(self) -> str:
        """Joins the ledger's key: changes when the same request would be answered by something else (file hash, ...)."""

    async def answer(self, request: Request) -> Parsed:
        """Raises CallFailed when there is no answer to this request."""
