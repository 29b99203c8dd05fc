"""The step loop: a thread that owns the model, on which rows join and leave between any two tokens.

A row that fails (its numbers, its constraint, its stop sequences) ends alone. Who asks is on an event loop (`submit`).
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from distil import loops
from distil.errors import DistilError
from distil.models.continuous.drawing import Drawn, draw_rows
from distil.models.continuous.row import Row
from distil.models.continuous.spelling import Spelling
from distil.models.generate import Generation
from distil.models.load import Loaded, stop_ids

if TYPE_CHECKING:
    from distil.models.continuous.decoders import Decoder, Part


TOGETHER_S = 0.0005
"""A loop without work waits so long after a row for another one, whose prompt it then reads with the first."""


class LoopFull(DistilError):
    """Too many rows wait for a place."""


class LoopStopped(DistilError):
    """The row came, or still waited, when the loop stopped."""


class StepLoop:
    """Generates rows for many callers at once, at most `size` together; `capacity` more may wait."""

    def __init__(self, loaded: Loaded, *, size: int, capacity: int, prefix_bytes: int) -> None:
        self._loaded, self._capacity = loaded, capacity
        self._size, self._prefix_bytes = size, prefix_bytes
        self._ends = stop_ids(loaded.model, loaded.tokenizer)
        self._decoder: Decoder | None = None
        self._waiting: deque[Row] = deque()
        self._active: list[Row] = []
        self._futures: dict[int, tuple[asyncio.AbstractEventLoop, asyncio.Future[Generation]]] = {}
        self._changed = threading.Condition()
        self._stopping = False
        self.steps = self.tokens = 0
        self._thread = threading.Thread(target=self._run, name="distil-steps", daemon=True)

    def start(self) -> None:
        """Starts the thread; blocks until the model's ways are known (some forward passes of a few tokens)."""
        import torch

        from distil.models.continuous.probe import make_decoder

        self._loaded.model.eval()
        with torch.inference_mode():
            pad = int(self._loaded.tokenizer.pad_token_id)
            self._decoder = make_decoder(self._loaded.model, self._size, pad, self._prefix_bytes)
        self._thread.start()

    @property
    def joins(self) -> bool:
        """Whether rows can join while others run; else batch follows batch."""
        return self._decoder is not None and self._decoder.joins

    @property
    def waiting(self) -> int:
        """Rows that wait for a place."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Rows that have one."""
        return len(self._active)

    @property
    def reused(self) -> int:
        """Prompt tokens that were not computed again."""
        return 0 if self._decoder is None else self._decoder.reused

    async def submit(self, row: Row) -> Generation:
        """The row's answer. Raises LoopFull, LoopStopped, or what was wrong with it. A cancelled caller's row ends."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Generation] = loop.create_future()
        with self._changed:
            if self._stopping:
                raise LoopStopped
            if len(self._waiting) >= self._capacity:
                raise LoopFull
            self._futures[id(row)] = (loop, future)
            self._waiting.append(row)
            self._changed.notify()
        try:
            return await future
        finally:
            row.cancelled = True  # a caller that has left; without effect on a row that has ended

    def stop(self) -> None:
        """Fails what waits and lets the running rows end. Blocks until then."""
        with self._changed:
            self._stopping = True
            for row in self._waiting:
                self._settle(row, LoopStopped())
            self._waiting.clear()
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        import torch

        with torch.inference_mode():
            while self._wait():
                assert self._decoder is not None
                try:
                    self._admit()
                    for part in self._decoder.advance():
                        self._draw(part)
                except Exception as error:  # of the model itself: whose fault it is can't be told
                    self._decoder.clear()
                    for row in self._active:
                        self._settle(row, error)
                    self._active = []

    def _wait(self) -> bool:
        """Waits until there is something to do; false when the loop should end."""
        with self._changed:
            idle, known = not self._active, 0
            while not self._waiting and not self._active and not self._stopping:
                self._changed.wait()
            while (
                idle and known < len(self._waiting) < self._size and not self._stopping
            ):  # who comes together starts together
                known = len(self._waiting)
                self._changed.wait(TOGETHER_S)
            return bool(self._active or self._waiting)

    def _admit(self) -> None:
        """Takes in as many rows as there is room for."""
        assert self._decoder is not None
        with self._changed:
            for row in [row for row in self._waiting if row.cancelled]:
                self._waiting.remove(row)
                self._settle(row, LoopStopped())
            room = self._decoder.room(self._waiting) if self._waiting else 0
            new = [self._waiting.popleft() for _ in range(room)]
            self._active += new
        if new:
            for row in new:
                if row.sampling.stop or row.on_text is not None:
                    row.spelling = Spelling(self._loaded.tokenizer, row.sampling.stop or ())
            self._decoder.add(new)

    def _draw(self, part: Part) -> None:
        """Draws the next token of each of these rows, and lets those end that have ended."""
        assert self._decoder is not None
        rows: list[Row] = part.rows  # type: ignore[assignment]
        drawn = draw_rows(rows, part.logits)
        self.steps += 1
        self.tokens += len(rows)
        stay = [self._stays(row, drawn, number) for number, row in enumerate(rows)]
        self._decoder.settle(part, drawn.tokens, stay, list(drawn.faults))

    def _stays(self, row: Row, drawn: Drawn, number: int) -> bool:
        """Gives a row its token; false when it has ended, which its caller is told."""
        result: Generation | Exception
        try:
            if row.cancelled:
                raise LoopStopped
            if number in drawn.faults:
                raise drawn.faults[number]
            row.tops += [drawn.tops[number]] if row.top else []
            ended = row.append(drawn.ids[number], drawn.logprobs[number], drawn.entropies[number], self._ends)
            if row.on_text is not None:
                row.on_text(row)
            if not ended:
                return True
            result = row.generation(lambda ids: self._loaded.decode(ids, skip_special_tokens=True))
        except Exception as error:
            result = error
        self._active.remove(row)
        self._settle(row, result)
        return False

    def _settle(self, row: Row, result: Generation | Exception) -> None:
        """Tells the caller, on its own event loop."""
        loop, future = self._futures.pop(id(row))
        with suppress(RuntimeError):  # the caller's event loop is closed: nobody waits any more
            loop.call_soon_threadsafe(loops.settle, future, result)
