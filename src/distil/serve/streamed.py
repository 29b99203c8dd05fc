"""A student's answer that is passed on while it is generated: its beginning is held back until the decision, the rest follows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

from distil.serve.engines.base import StreamingEngine
from distil.serve.engines.piece import Piece, joined, whole
from distil.serve.policy import Decision, who_answered
from distil.serve.wire import ChatReply, ChatRequest, EngineFailed, ShuttingDown


class Streamed:
    """One answer on its way. `hold` first, then `pieces`, and `close` in any case."""

    def __init__(
        self,
        engine: StreamingEngine,
        request: ChatRequest,
        idle_s: float,
        closing: Callable[[], bool] = lambda: False,
    ) -> None:
        """idle_s: how long it may be silent once it has begun; closing: whether the gateway must end."""
        self._closing = closing
        self.request = request
        self.decision = Decision("student", "")
        self.confidence: float | None = None
        self._source = engine.stream(request)
        self._idle_s = idle_s
        self._came: list[Piece] = []
        self._on_end: Callable[[ChatReply], None] = lambda reply: None
        self._on_close: Callable[[], None] = lambda: None
        self._closed = False

    async def hold(self, tokens: int) -> ChatReply:
        """Waits for the first `tokens` log-probabilities, or for the end if it comes earlier; at least for one piece.

        Returns the answer so far; its finish reason is empty unless it is whole. Raises BadRequest.
        """
        count = 0
        async for piece in self._source:
            self._came.append(piece)
            count += len(piece.token_logprobs)
            if count >= tokens or piece.finish_reason:
                break
        return whole(self._came)

    def decided(
        self,
        decision: Decision,
        confidence: float | None,
        *,
        on_end: Callable[[ChatReply], None],
        on_close: Callable[[], None],
    ) -> None:
        """The student answers. on_end: called with the whole answer; on_close: at its end, however it ends."""
        self.decision, self.confidence, self._on_end, self._on_close = decision, confidence, on_end, on_close

    def headers(self) -> dict[str, str]:
        """HTTP headers that tell the client who answers."""
        return who_answered(self.decision, self.confidence)

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        """What was held back, then the rest as it comes. Raises EngineFailed where it breaks off or falls silent."""
        yield joined(self._came)
        while True:
            try:
                async with asyncio.timeout(self._idle_s):
                    piece = await anext(self._source, None)
            except TimeoutError:
                raise EngineFailed(f"The student fell silent for {self._idle_s:g} s.", status=504) from None
            if self._closing():
                raise ShuttingDown
            if piece is None:
                break
            self._came.append(piece)
            yield piece
        reply = whole(self._came)
        if not reply.finish_reason:
            raise EngineFailed("The student's answer ended early.")
        self._on_end(reply)

    async def close(self) -> None:
        """Ends the generation if it still goes on. Repeatable."""
        if not self._closed:
            self._closed = True
            self._on_close()
            await self._source.aclose()
