"""What reads tokens: rows in slots that join and leave at any time, or, for models that can't do that, one batch after another.

`advance` gives logits for some rows; the caller draws their tokens and tells `settle` who goes on. Not for several threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from distil.models.continuous.prefill import Prefill, Prompt, alike
from distil.models.continuous.prefixes import Prefixes
from distil.models.continuous.slots import SlotCache
from distil.models.rows import Forward, Rows, Ways
from distil.models.unwrap import causal_model

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

CHUNK = 256
"""Prompt tokens that are read between two tokens of the running rows."""
ALONE = 2048
"""The same where no row is running."""


class Part(NamedTuple):
    """Rows whose next tokens can be drawn."""

    rows: list[Prompt]
    logits: torch.Tensor
    """(n, V) float32."""
    prefill: Prefill | None = None
    """Where the rows come from, when these are their first tokens."""


class Decoder(Protocol):
    """Rows of one model in the middle of being generated."""

    joins: bool
    """Whether rows can be added while others run."""

    @property
    def reused(self) -> int:
        """Prompt tokens whose states were kept from other prompts."""
        ...

    def room(self, waiting: Sequence[Prompt]) -> int:
        """How many of the waiting rows, from the first on, can be added now."""
        ...

    def add(self, prompts: Sequence[Prompt]) -> None:
        """Takes these rows in."""
        ...

    def advance(self) -> Iterator[Part]:
        """At most one piece of a prompt and one token of each running row; after each part, `settle` has to be called."""
        ...

    def settle(self, part: Part, tokens: torch.Tensor, stay: Sequence[bool], spoiled: Sequence[int] = ()) -> None:
        """The tokens (n,) drawn for a part, and which of its rows go on; `spoiled` ones leave NaN behind."""
        ...

    def clear(self) -> None:
        """Forgets all rows."""
        ...


class SlotDecoder:
    """Rows join and leave between any two tokens; long prompts are read in pieces in between."""

    joins = True

    def __init__(self, model: PreTrainedModel, how: Ways, size: int, prefix_bytes: int = 0) -> None:
        self.size, self.prefixes = size, Prefixes(prefix_bytes)
        self.running: list[Prompt] = []
        self.reading: list[Prefill] = []
        self._model, self._turn = causal_model(model), 0
        self._forward = Forward(model, how.cache)
        self._cache = SlotCache(self._model)
        self._pending: torch.Tensor | None = None

    @property
    def reused(self) -> int:
        """Prompt tokens whose states were kept from other prompts."""
        return self.prefixes.reused

    def room(self, waiting: Sequence[Prompt]) -> int:
        """Free slots."""
        return min(len(waiting), self.size - len(self.running) - sum(len(prefill.rows) for prefill in self.reading))

    def add(self, prompts: Sequence[Prompt]) -> None:
        """Takes rows in; those whose unread parts are alike are read together."""
        found = [self.prefixes.find(prompt.ids) for prompt in prompts]
        self.reading += [
            Prefill(self._model, self._forward, [prompts[i] for i in group], [found[i] for i in group])
            for group in alike([len(prompt.ids) - known.length for prompt, known in zip(prompts, found, strict=True)])
        ]

    def advance(self) -> Iterator[Part]:
        """A piece of one prompt (in turn the oldest and the one that is done soonest), then a token of all running rows."""
        if self.reading:
            self._turn += 1
            soonest = min(self.reading, key=lambda each: each.left)
            prefill = self.reading[0] if self._turn % 2 and soonest.left > CHUNK else soonest
            logits = prefill.read(CHUNK if self.running else ALONE)
            if logits is not None:
                self.reading.remove(prefill)
                prefill.remember(self.prefixes)
                yield Part(prefill.rows, logits, prefill)
        if self.running:
            yield Part(self.running, self._step())

    def _step(self) -> torch.Tensor:
        import torch

        assert self._pending is not None
        window, device = self._cache.window, self._pending.device
        self._cache.reserve(len(window.starts))
        starts = torch.tensor(window.starts, device=device)
        mask = None
        if max(window.starts) > window.low:
            columns = torch.arange(window.low, window.end + 1, device=device)
            mask = (columns >= starts[:, None]).long()  # (B, columns)
        logits = self._forward(self._pending[:, None], mask, (window.end - starts)[:, None], self._cache)
        window.end += 1
        return logits

    def settle(self, part: Part, tokens: torch.Tensor, stay: Sequence[bool], spoiled: Sequence[int] = ()) -> None:
        """New rows that go on get a slot; rows that end lose theirs."""
        import torch

        if part.prefill is not None:
            chosen = [i for i, stays in enumerate(stay) if stays]
            if chosen:
                self._cache.admit(part.prefill.cache, chosen)
                self.running = [*self.running, *(part.rows[i] for i in chosen)]
                new = tokens[chosen]
                self._pending = new if self._pending is None else torch.cat([self._pending, new])
            return
        self._pending = tokens
        gone = [i for i, stays in enumerate(stay) if not stays]
        if gone:
            for row in spoiled:
                self._cache.blank(row)
            order = self._cache.drop(gone)
            self.running = [self.running[i] for i in order]
            self._pending = tokens[order] if order else None

    def clear(self) -> None:
        """Forgets all rows and what is kept of prompts."""
        self.running, self.reading, self._pending = [], [], None
        self._cache.clear()
        self.prefixes.clear()


class BatchDecoder:
    """Rows that start together; new ones wait until all have ended. For models whose states can't be joined."""

    joins = False
    reused = 0

    def __init__(self, model: PreTrainedModel, how: Ways, size: int, pad: int) -> None:
        self.size, self._model, self._how, self._pad = size, model, how, pad
        self._rows: Rows | None = None
        self._alive: list[Prompt | None] = []

    def room(self, waiting: Sequence[Prompt]) -> int:
        """None while a batch runs. Without padding, only rows of equal length share one."""
        if self._rows is not None or not waiting:
            return 0
        if self._how.pads:
            return min(len(waiting), self.size)
        length = len(waiting[0].ids)
        different = (i for i, prompt in enumerate(waiting) if len(prompt.ids) != length)
        return min(next(different, len(waiting)), self.size)

    def add(self, prompts: Sequence[Prompt]) -> None:
        """Starts a batch."""
        steps = max(prompt.max_tokens for prompt in prompts)
        self._rows = Rows(self._model, [prompt.ids for prompt in prompts], self._pad, steps, self._how)
        self._alive = list(prompts)

    def advance(self) -> Iterator[Part]:
        """A token of all rows that have not ended."""
        if self._rows is not None:
            logits = self._rows.logits()
            yield Part([row for row in self._alive if row is not None], logits[self._live()])

    def settle(self, part: Part, tokens: torch.Tensor, stay: Sequence[bool], spoiled: Sequence[int] = ()) -> None:
        """Rows that end leave the batch, or stay unread."""
        assert self._rows is not None
        live = self._live()
        everything = tokens.new_full((len(self._alive),), self._pad)
        everything[live] = tokens
        ended = [row for row, stays in zip(live, stay, strict=True) if not stays]
        if len(ended) == len(live):
            self.clear()
            return
        self._rows.append(everything)
        if ended and self._how.narrows:
            keep = [i for i in range(len(self._alive)) if i not in ended]
            self._rows.keep(keep)
            self._alive = [self._alive[i] for i in keep]
        else:
            self._alive = [None if i in ended else row for i, row in enumerate(self._alive)]

    def clear(self) -> None:
        """Forgets the batch."""
        self._rows, self._alive = None, []

    def _live(self) -> list[int]:
        return [i for i, row in enumerate(self._alive) if row is not None]
