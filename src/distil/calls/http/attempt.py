"""One attempt: brings a request to the teacher, in this process or over the wire, and returns how it ended. Retries nothing.

Chooses the replica, reads the reply with its provider, and takes keys out of whatever came back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from distil.calls.faults import CallFailed, Fault, FaultKind, GarbledReply
from distil.calls.http.redirects import REDIRECTS, redirected
from distil.calls.http.replicas import Replica, Replicas
from distil.calls.http.transport import Broken, HttpReply, Transport
from distil.calls.identity import Identity, wire_bytes
from distil.calls.keys import hide, hide_bytes, secrets
from distil.calls.providers.base import Adjusts, HttpProvider, LimitHint, LocalProvider, Parsed, Signs, WireRequest
from distil.calls.providers.catalog import Opened
from distil.calls.providers.common import as_utf8
from distil.calls.providers.reading import PAID_TRIES, parse_local
from distil.calls.request import Request
from distil.errors import UserError
from distil.records import Usage
from distil.text import visible

MAX_LESSONS = 3
"""Refusals of one request that may teach something."""
REQUEST_ID_HEADERS = ("x-request-id", "request-id", "x-goog-request-id")
MAX_REQUEST_ID = 200


class Attempt(NamedTuple):
    """How one attempt ended: an answer with its raw body, or a fault."""

    parsed: Parsed | None
    body: bytes | None
    """What the server replied; None when it did not reply."""
    fault: Fault | None
    latency_s: float
    maybe_paid: bool = False
    usage: Usage | None = None
    """What an attempt without an answer was billed, where the reply says so."""
    request_id: str | None = None
    refused: FaultKind | None = None
    """rate_limit, overload or shed, where it means that requests are sent too fast."""
    limits: LimitHint | None = None
    """What the reply announced."""
    silent: bool = False
    """The connection broke, and no replica takes connections either."""


class Sender:
    """`send` makes one attempt."""

    def __init__(self, opened: Opened, timeout_s: float, transport: Transport, clock: Callable[[], float]) -> None:
        self._opened = opened
        self._timeout_s = timeout_s
        self._transport = transport
        self._clock = clock
        self._replicas = Replicas(opened.replicas, clock)
        # Found out once: asking whether an object has a protocol's methods costs 0.1 ms.
        self._signs = {id(provider): provider for provider in opened.replicas if isinstance(provider, Signs)}
        self._adjusts = {id(provider): provider for provider in opened.replicas if isinstance(provider, Adjusts)}

    async def send(self, request: Request, identity: Identity) -> Attempt:
        """How it ended. Raises only what is not the request's fault: cancelled, a model that can't be loaded."""
        if self._opened.local is not None:
            return await self._answer_here(self._opened.local, request)
        return await self._send_out(request, identity)

    async def _answer_here(self, local: LocalProvider, request: Request) -> Attempt:
        started = self._clock()
        try:
            body = (await local.answer(request)).model_dump_json().encode()
            parsed = parse_local(body)
        except CallFailed as error:
            return Attempt(None, None, error.fault, self._clock() - started)
        except GarbledReply as error:
            return Attempt(None, None, error.fault._replace(retryable=False), self._clock() - started)
        return Attempt(parsed, body, None, self._clock() - started)

    async def _send_out(self, request: Request, identity: Identity) -> Attempt:
        replica = self._replicas.take()
        wire = identity.wire if replica.provider is self._opened.replicas[0] else replica.provider.wire(request)
        assert wire is not None
        started = self._clock()
        try:
            reply, headers = await self._exchange(replica.provider, wire, identity.body)
        except UserError as error:  # no signature, no token: nothing was sent
            self._replicas.gave_up(replica)
            return Attempt(None, None, Fault("auth", str(error), retryable=False), self._clock() - started)
        except Broken as broken:
            latency = self._clock() - started
            self._replicas.broke(replica) if broken.kind == "connection" else self._replicas.gave_up(replica)
            fault = Fault(broken.kind, str(broken), most=PAID_TRIES if broken.kind == "garbled" else None)
            return Attempt(None, None, fault, latency, maybe_paid=broken.sent, silent=self._replicas.silent)
        except BaseException:
            self._replicas.gave_up(replica)
            raise
        latency, good = self._clock() - started, 200 <= reply.status < 300
        try:
            attempt = self._read(replica, wire.url, reply, latency, secrets(headers))
        except Exception as error:  # the last net: nothing that a server says may end a run
            fault = Fault("garbled", f"the reply can't be read ({type(error).__name__})", most=PAID_TRIES)
            attempt = Attempt(None, reply.body, fault, latency, maybe_paid=good)
        self._replicas.done(replica)
        refused = attempt.fault.kind if attempt.fault is not None and attempt.fault.refusal else None
        if refused == "shed" and request.flex_full == "standard":
            refused = None  # continues at the standard price, which a full flex tier must not slow down
        try:
            limits = replica.provider.limits(reply.headers)
        except (ValueError, TypeError, OverflowError):  # nonsense announces nothing
            limits = {}
        return attempt._replace(refused=refused, limits=limits)

    async def _exchange(
        self, provider: HttpProvider, wire: WireRequest, body: bytes
    ) -> tuple[HttpReply, Mapping[str, str]]:
        """(reply, headers that were sent). A refusal that teaches the server's own names is free, and followed at once."""
        signs, adjusts = self._signs.get(id(provider)), self._adjusts.get(id(provider))
        for tries_left in reversed(range(MAX_LESSONS + 1)):
            sent = adjusts.adjusted(wire.body) if adjusts is not None else wire.body
            data = body if sent is wire.body else wire_bytes(sent)
            headers = await signs.signed(wire.url, wire.headers, data) if signs is not None else wire.headers
            reply = await self._transport.post(wire.url, headers, data, self._timeout_s)
            learned = reply.status >= 400 and adjusts is not None and adjusts.learn(reply.status, sent, reply.body)
            if not learned or not tries_left:
                break
        return reply, headers

    def _read(self, replica: Replica, url: str, reply: HttpReply, latency: float, hidden: list[str]) -> Attempt:
        body, good, garbled = reply.body, 200 <= reply.status < 300, None
        request_id = _request_id(reply)
        if good:
            body = as_utf8(body, reply.headers)
            try:
                parsed = replica.provider.parse(reply.status, reply.headers, body)
                return Attempt(parsed, body, None, latency, request_id=request_id)
            except GarbledReply as error:
                garbled = error
        else:
            body = hide_bytes(body, hidden)  # a refusal may repeat the key; an answer stays as it came
        if reply.status in REDIRECTS and (target := reply.headers.get("location")):
            fault = Fault("not_found", visible(redirected(url, target, reply.status)), retryable=False)
            return Attempt(None, body, fault, latency, request_id=request_id)
        fault = replica.provider.fault(reply.status, reply.headers, body)
        if garbled is not None and fault.kind == "garbled":  # no error inside: then what parsing found out
            fault = garbled.fault
        if good and fault.kind not in ("garbled", "broken_off"):
            body = hide_bytes(body, hidden)  # an error inside a 200 isn't an answer either
        doubtful = fault.kind in ("auth", "not_found") and (good or reply.status == 403)
        fault = fault._replace(message=visible(hide(fault.message, hidden)), doubtful=doubtful)
        paid = fault.kind == "broken_off" or (good and fault.kind == "garbled")
        usage = garbled.usage if garbled is not None else None
        return Attempt(None, body, fault, latency, maybe_paid=paid, usage=usage, request_id=request_id)


def _request_id(reply: HttpReply) -> str | None:
    """The provider's name for the request. Headers need not be UTF-8: aiohttp marks other bytes as half surrogates."""
    value = next((reply.headers[name] for name in REQUEST_ID_HEADERS if name in reply.headers), None)
    return None if value is None else value.encode("utf-8", "surrogateescape").decode("latin-1")[:MAX_REQUEST_ID]
