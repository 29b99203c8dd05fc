"""What a streamed reply shows while its row grows: from the step loop's thread to the event loop, in few pieces."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

from distil.models.continuous.row import Row
from distil.serve.engines.local_reply import TokenTexts
from distil.serve.engines.piece import Piece
from distil.serve.wire import ChatReply
from distil.thinking import shown_so_far, thinking_so_far

BETWEEN_S = 0.02
"""Pieces are not closer than this, except for the last one: a piece costs about as much as a token of a small model."""


class Outlet:
    """Iterates over the pieces of one row's answer, on the event loop that made it."""

    def __init__(self, row: Row, texts: TokenTexts | None, *, whole: bool, in_thinking: bool) -> None:
        """texts: where log-probabilities are asked for. whole: no text before the end, as it may be a call or thinking.
        in_thinking: the prompt ends inside of thinking."""
        self._row, self._texts, self._whole, self._in_thinking = row, texts, whole, in_thinking
        self._loop, self._changed = asyncio.get_running_loop(), asyncio.Event()
        self._text = ""
        self._tokens = 0
        self._thought, self._sent_thought = "", ""
        self._sent = ""
        self._sent_tokens = 0
        self._told_at = 0.0
        self._ended = False
        row.on_text = self._on_text

    def close(self) -> None:
        """Ends the iteration after what has come."""
        self._ended = True
        self._changed.set()

    async def __aiter__(self) -> AsyncIterator[Piece]:
        """Pieces with text, as they come; the last one is `last`."""
        while not self._ended:
            await self._changed.wait()
            self._changed.clear()
            text, thought, tokens = self._text, self._thought, self._tokens
            new = (text, thought) != (self._sent, self._sent_thought)
            if not self._ended and new and text.startswith(self._sent) and thought.startswith(self._sent_thought):
                yield self._piece(text, thought, tokens)

    def last(self, reply: ChatReply) -> Piece:
        """What of the whole answer has not been sent, and how it ended."""
        text = reply.text if reply.text.startswith(self._sent) else self._sent
        thought = reply.reasoning if reply.reasoning.startswith(self._sent_thought) else self._sent_thought
        calls = [{"index": i} | call for i, call in enumerate(reply.tool_calls or ())]
        piece = self._piece(text, thought, len(self._row.tokens))
        return replace(piece, tool_calls=calls, finish_reason=reply.finish_reason, usage=reply.usage)

    def _piece(self, text: str, thought: str, tokens: int) -> Piece:
        row, start = self._row, self._sent_tokens
        piece = Piece(
            text[len(self._sent) :],
            thought[len(self._sent_thought) :],
            row.logprobs[start:tokens],
            row.entropies[start:tokens],
            []
            if self._texts is None
            else self._texts.content(row.tokens[start:tokens], row.logprobs[start:tokens], row.tops[start:tokens]),
        )
        self._sent, self._sent_thought, self._sent_tokens = text, thought, tokens
        return piece

    def _on_text(self, row: Row) -> None:
        """On the step loop's thread, after each token."""
        now = time.monotonic()
        if self._whole or row.spelling is None or now - self._told_at < BETWEEN_S:
            return
        text = shown_so_far(row.spelling.settled, opened=self._in_thinking)
        thought = thinking_so_far(row.spelling.settled, opened=self._in_thinking)
        if (text, thought) == (self._text, self._thought):
            return
        self._told_at, self._text, self._thought, self._tokens = now, text, thought, len(row.tokens)
        self._loop.call_soon_threadsafe(self._changed.set)
