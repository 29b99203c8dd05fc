"""The key/value states of prompts' common beginnings (a system prompt, the earlier turns of a chat), each computed once.

A beginning is kept from the second prompt on that has it. What was used longest ago is forgotten first.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from distil.models.continuous.slots import LayerKV

SHORTEST = 16
"""Tokens from which a beginning is worth keeping; the first ones of a prompt are its key."""
RECENT = 4
"""Prompts with equal first tokens that a new one is compared with."""
KEYS = 256
"""Different first tokens that are remembered."""
BYTES = 256 << 20
MOST = 32
"""Beginnings that are kept."""


class _Kept(NamedTuple):
    ids: np.ndarray
    states: Sequence[LayerKV]
    size: int


class Found(NamedTuple):
    """What is known about a prompt's beginning."""

    length: int
    """Tokens whose states are kept."""
    states: Sequence[LayerKV]
    common: int
    """Tokens that a recent prompt has, too."""


class Prefixes:
    """Kept beginnings, at most `limit` bytes of them. Not for several threads."""

    def __init__(self, limit: int = BYTES) -> None:
        self.limit, self.size, self.reused = limit, 0, 0
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._recent: OrderedDict[bytes, deque[np.ndarray]] = OrderedDict()

    def find(self, ids: Sequence[int]) -> Found:
        """The longest kept beginning of a prompt, which is remembered as a recent one. At least one token is left to compute."""
        prompt = np.asarray(ids, dtype=np.int64)
        if len(prompt) <= SHORTEST or not self.limit:
            return Found(0, (), 0)
        key = prompt[:SHORTEST].tobytes()
        recent = self._recent.setdefault(key, deque(maxlen=RECENT))
        self._recent.move_to_end(key)
        if len(self._recent) > KEYS:
            self._recent.popitem(last=False)
        most = len(prompt) - 1
        common = min(most, max((_common(prompt, other) for other in recent), default=0))
        if common < most:
            recent.append(prompt)
        best, name = 0, b""
        for each, kept in self._kept.items():
            length = min(most, _common(prompt, kept.ids))
            if length > best:
                best, name = length, each
        if best < SHORTEST:
            return Found(0, (), common)
        self._kept.move_to_end(name)
        self.reused += best
        return Found(best, self._kept[name].states, common)

    def keep(self, ids: Sequence[int], states: Sequence[LayerKV]) -> None:
        """Keeps a beginning, instead of those that it begins with."""
        prompt = np.asarray(ids, dtype=np.int64)
        size = sum(tensor.numel() * tensor.element_size() for pair in states if pair is not None for tensor in pair)
        if size > self.limit:
            return
        for name, kept in list(self._kept.items()):
            if _common(prompt, kept.ids) == len(kept.ids):
                self._forget(name)
        self._kept[prompt.tobytes()] = _Kept(prompt, states, size)
        self.size += size
        while self.size > self.limit or len(self._kept) > MOST:
            self._forget(next(iter(self._kept)))

    def clear(self) -> None:
        """Forgets everything."""
        self._kept.clear()
        self._recent.clear()
        self.size = 0

    def _forget(self, name: bytes) -> None:
        self.size -= self._kept.pop(name).size


def _common(one: np.ndarray, other: np.ndarray) -> int:
    """How many first tokens are equal."""
    size = min(len(one), len(other))
    differs = one[:size] != other[:size]
    at = int(differs.argmax()) if size else 0
    return at if size and differs[at] else size
