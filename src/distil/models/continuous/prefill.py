"""Reads the prompts of new rows, piece by piece, in a cache of their own, from what is kept of their beginnings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from distil.models.continuous.prefixes import SHORTEST, Found, Prefixes
from distil.models.continuous.slots import SlotCache
from distil.models.unwrap import input_embedding

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from distil.models.rows import Forward

RAGGED = 64
"""Prompts are read together when their unread parts differ at most twofold, or by so many tokens."""


class Prompt(Protocol):
    """A row as a decoder sees it."""

    @property
    def ids(self) -> list[int]:
        """The prompt's token ids."""
        ...

    @property
    def max_tokens(self) -> int:
        """Tokens that it may get at most."""
        ...


class Prefill:
    """New rows, padded on the left. Equally many tokens are computed for each: for some, a bit of the known beginning again."""

    def __init__(self, model: PreTrainedModel, forward: Forward, rows: list[Prompt], found: Sequence[Found]) -> None:
        self.rows, self._forward, self._found = rows, forward, found
        self._device = input_embedding(model).device
        self.width = max(len(row.ids) for row in rows)
        self.left = max(len(row.ids) - known.length for row, known in zip(rows, found, strict=True))
        """Columns that are still to be computed."""
        self.cache = SlotCache(model)
        window = self.cache.window
        window.starts = [self.width - len(row.ids) for row in rows]
        window.end = self.width - self.left
        for i, (start, known) in enumerate(zip(window.starts, found, strict=True)):
            if window.end > start:
                self.cache.paste(i, known.states, window.end - start, self.width)
        self._padded = any(window.starts)

    def read(self, budget: int) -> torch.Tensor | None:
        """Reads at most `budget` tokens of all rows together (at least 16 of each); the last piece gives the logits (n, V)."""
        import torch

        window = self.cache.window
        size = min(self.left, max(budget // len(self.rows), 16))
        self.cache.reserve(len(self.rows), after=size)
        end = window.end + size
        tokens = [
            [row.ids[column - start] if column >= start else 0 for column in range(window.end, end)]
            for row, start in zip(self.rows, window.starts, strict=True)
        ]
        starts = torch.tensor(window.starts, device=self._device)[:, None]
        columns = torch.arange(end, device=self._device)
        mask = (columns >= starts).long() if self._padded else None
        positions = (columns[window.end :] - starts).clamp(min=0)
        logits = self._forward(torch.tensor(tokens, device=self._device), mask, positions, self.cache)
        window.end = end
        self.left -= size
        return None if self.left else logits

    def remember(self, prefixes: Prefixes) -> None:
        """Keeps the beginnings that these prompts share with others, unless they are kept already."""
        best: dict[tuple[int, ...], int] = {}
        for i, (row, known) in enumerate(zip(self.rows, self._found, strict=True)):
            if known.common >= known.length + SHORTEST:
                best.setdefault(tuple(row.ids[: known.common]), i)
        for ids, i in best.items():
            prefixes.keep(ids, self.cache.head(i, len(ids)))


def alike(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices of prompts whose unread parts have similar lengths, shortest first."""
    group: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if group and lengths[index] > max(2 * lengths[group[0]], lengths[group[0]] + RAGGED):
            yield group
            group = []
        group.append(index)
    if group:
        yield group
