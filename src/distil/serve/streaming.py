"""An answer as OpenAI's server-sent events while it is generated: one event for each piece, `[DONE]` at the end.

The parts of an event that never change are written once: most of a stream's processor time is its events.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Sequence

from distil.records import Usage
from distil.serve.engines.piece import Piece
from distil.serve.wire import (
    ChatReply,
    ChatRequest,
    JsonObject,
    compact_json,
    reply_head,
    sse,
    summed,
    usage_body,
    wire_bytes,
)

DONE = b"data: [DONE]\n\n"
WORDS = re.compile(r"(?:\S+\s*|\s+){1,8}")
"""A finished answer is cut into pieces of so many words."""


class Events:
    """The events of one answer."""

    def __init__(
        self, request: ChatRequest, fingerprint: str, *, index: int = 0, head: JsonObject | None = None
    ) -> None:
        """index: which of several answers, that share one `head`."""
        self._head = head or reply_head(request, fingerprint)
        self._include_usage, self._logprobs = request.include_usage, request.logprobs
        opening = compact_json(self._head)[:-1]
        self._opening = f'data: {opening},"choices":[{{"index":{index},"delta":'
        self._closing = "]" + (',"usage":null' if self._include_usage else "") + "}\n\n"

    def first(self) -> bytes:
        """The event that names the role."""
        return self._event({"role": "assistant", "content": ""}, None, None)

    def of(self, piece: Piece) -> bytes:
        """The event of a piece; nothing where the client gets none of it."""
        if not (piece.text or piece.reasoning or piece.tool_calls or piece.finish_reason):
            return b""
        delta: JsonObject = {"content": piece.text} if piece.text else {}
        if piece.reasoning:
            delta["reasoning_content"] = piece.reasoning
        if piece.tool_calls:
            delta["tool_calls"] = piece.tool_calls
        return self._event(delta, piece.finish_reason, piece.logprobs if self._logprobs else None)

    def last(self, usage: JsonObject) -> bytes:
        """What follows the last piece."""
        counted = sse(self._head | {"choices": [], "usage": usage}) if self._include_usage else b""
        return counted + DONE

    def _event(self, delta: JsonObject, finish: str | None, logprobs: list[JsonObject] | None) -> bytes:
        told = {"content": logprobs, "refusal": None} if logprobs else None
        rest = f'{compact_json(delta)},"logprobs":{compact_json(told)},"finish_reason":{compact_json(finish)}}}'
        return wire_bytes(self._opening + rest + self._closing)


async def live_events(request: ChatRequest, pieces: AsyncIterator[Piece], fingerprint: str) -> AsyncIterator[bytes]:
    """The events of an answer that is being generated. Raises what `pieces` raises."""
    events, tokens = Events(request, fingerprint), 0
    usage: Usage | None = None
    start = events.first()
    async for piece in pieces:
        usage, tokens = piece.usage or usage, tokens + len(piece.token_logprobs)
        event = start + events.of(piece)
        start = b""
        if event:
            yield event
    yield start + events.last(usage_body(usage or Usage(output_tokens=tokens)))


def finished_events(
    request: ChatRequest, replies: Sequence[ChatReply], fingerprint: str, *, whole: bool = False
) -> Iterator[bytes]:
    """The events of finished answers, one after another, in pieces of a few words; whole: each text in one."""
    head = reply_head(request, fingerprint)
    several = [Events(request, fingerprint, index=index, head=head) for index in range(len(replies))]
    for events, reply in zip(several, replies, strict=True):
        yield events.first()
        if reply.reasoning:
            yield events.of(Piece(reasoning=reply.reasoning))
        for text in [reply.text] if whole else WORDS.findall(reply.text):
            yield events.of(Piece(text))
        calls = [{"index": i} | call for i, call in enumerate(reply.tool_calls or ())]
        if calls:
            yield events.of(Piece(tool_calls=calls))
        yield events.of(Piece(finish_reason=reply.finish_reason, logprobs=reply.logprobs or []))
    yield several[0].last(usage_body(summed(reply.usage for reply in replies)))
