"""A key/value cache of rows that come and go: every row has a slot, and all rows end at the same column.

Row i holds its positions in the columns [starts[i], end) of its slot, so the newest token of all rows is written at once, and a
distance between columns is a distance between positions (sliding windows stay right). DynamicCache drives the layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

SLACK = 64
"""Columns that a buffer has at least to spare when it is made; half of those in use where that is more."""
LayerKV = tuple[torch.Tensor, torch.Tensor] | None
"""Keys and values of one layer, each (heads, length, d) or (rows, heads, length, d); None = the layer keeps none."""


@dataclass
class Window:
    """What all layers of a cache have in common."""

    starts: list[int] = field(default_factory=list)
    """First column of each row."""
    low: int = 0
    """First column of any row."""
    end: int = 0
    """The column that is written next."""


class SlotLayer(DynamicLayer):
    """Keys and values in buffers (slots, heads, columns, d), of which the window's part is seen."""

    def __init__(self, window: Window) -> None:
        super().__init__()
        self.window = window
        self.buffers: tuple[torch.Tensor, torch.Tensor] | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Writes the new columns and returns views of all that are in use."""
        window, rows, new = self.window, key_states.shape[0], key_states.shape[-2]
        if self.buffers is None:
            self.make(key_states, value_states, rows, window.end + new + SLACK)
        keys, values = self.buffers  # type: ignore[misc]
        keys[:rows, :, window.end : window.end + new] = key_states
        values[:rows, :, window.end : window.end + new] = value_states
        return tuple(buffer[:rows, :, window.low : window.end + new] for buffer in (keys, values))  # type: ignore[return-value]

    def make(self, keys: torch.Tensor, values: torch.Tensor, rows: int, columns: int) -> None:
        """Empty buffers for states like these. Zeros: what is masked is still multiplied, and 0 times NaN is NaN."""
        self.buffers = tuple(  # type: ignore[assignment]
            like.new_zeros(rows, like.shape[-3], columns, like.shape[-1]) for like in (keys, values)
        )
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True

    def get_seq_length(self) -> int:
        """Columns that are in use."""
        return self.window.end - self.window.low

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """(columns that the next queries see, 0)."""
        return self.get_seq_length() + query_length, 0


class SlotCache(DynamicCache):
    """A cache whose rows come and go. Only for models that `can_join`."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__(config=model.config.get_text_config())
        self.window = Window()
        self.layers = [SlotLayer(self.window) for _ in self.layers]

    @property
    def slot_layers(self) -> list[SlotLayer]:
        """The layers, as what they are."""
        return self.layers  # type: ignore[return-value]

    def reserve(self, rows: int, *, before: int = 0, after: int = 1) -> None:
        """Makes place for `rows` rows, `before` columns before the end and `after` from it on."""
        window = self.window
        used = window.end - window.low
        shape = next((layer.buffers[0].shape for layer in self.slot_layers if layer.buffers is not None), None)
        if shape is None:
            window.low = window.end = max(window.end, before)
            return
        if rows <= shape[0] and before <= window.end and window.end + after <= shape[2]:
            return
        slots = shape[0] if rows <= shape[0] else max(rows, 2 * shape[0])
        left = max(before, used)
        shift = left - window.end
        for layer in self.slot_layers:
            if layer.buffers is None:
                continue
            old = layer.buffers
            layer.make(*old, slots, left + after + max(SLACK, left // 2))
            for source, target in zip(old, layer.buffers, strict=True):
                target[: shape[0], :, left - used : left] = source[:, :, window.low : window.end]
        window.starts = [start + shift for start in window.starts]
        window.low, window.end = left - used, left

    def admit(self, other: SlotCache, rows: Sequence[int]) -> None:
        """Takes these rows of another cache, as the last ones, at the same end."""
        window, source = self.window, other.window
        lengths = [source.end - source.starts[row] for row in rows]
        width, count = max(lengths), len(window.starts)
        self.reserve(count + len(rows), before=width)
        index = None if list(rows) == list(range(len(source.starts))) else torch.tensor(list(rows))
        for layer, theirs in zip(self.slot_layers, other.slot_layers, strict=True):
            if theirs.buffers is None:
                continue
            if layer.buffers is None:
                layer.make(*theirs.buffers, len(rows), window.end + SLACK)
            for buffer, states in zip(layer.buffers or (), theirs.buffers, strict=True):
                states = states[: len(source.starts), :, source.end - width : source.end]
                chosen = states if index is None else states[index.to(states.device)]
                buffer[count : count + len(rows), :, window.end - width : window.end] = chosen
        window.starts += [window.end - length for length in lengths]
        window.low = min(window.starts)

    def drop(self, rows: Sequence[int]) -> list[int]:
        """Frees the slots of these rows. Returns the old index of each row that is left, in its new order."""
        window, gone = self.window, set(rows)
        count = len(window.starts) - len(gone)
        movers = [row for row in range(count, len(window.starts)) if row not in gone]
        holes = sorted(row for row in gone if row < count)
        order = list(range(count))
        for hole, mover in zip(holes, movers, strict=True):
            order[hole] = mover
        if holes:
            for layer in self.slot_layers:
                for buffer in layer.buffers or ():
                    live = buffer[:, :, window.low : window.end]
                    live[holes] = live[movers]
        window.starts = [window.starts[row] for row in order]
        window.low = min(window.starts, default=window.end)
        if not order:
            self.clear()
        return order

    def clear(self) -> None:
        """Forgets everything, the memory included."""
        self.window.starts, self.window.low, self.window.end = [], 0, 0
        for layer in self.slot_layers:
            layer.buffers = None

    def blank(self, row: int) -> None:
        """Overwrites a row's states: those of a failed row may be NaN, which would reach the next row in this slot."""
        for layer in self.slot_layers:
            for buffer in layer.buffers or ():
                buffer[row].zero_()

    def head(self, row: int, length: int) -> list[LayerKV]:
        """A copy of the first `length` positions of a row, layer by layer."""
        start = self.window.starts[row]
        states: list[LayerKV] = []
        for layer in self.slot_layers:
            if layer.buffers is None:
                states.append(None)
                continue
            keys, values = (buffer[row, :, start : start + length].clone() for buffer in layer.buffers)
            states.append((keys, values))
        return states

    def paste(self, row: int, states: Sequence[LayerKV], length: int, columns: int) -> None:
        """Writes the first `length` positions of `head` states to a row, in buffers of `columns` columns for all rows."""
        start, rows = self.window.starts[row], len(self.window.starts)
        for layer, kept in zip(self.slot_layers, states, strict=True):
            if kept is None:
                continue
            if layer.buffers is None:
                layer.make(*kept, rows, columns)
            for buffer, state in zip(layer.buffers or (), kept, strict=True):
                buffer[row, :, start : start + length] = state[:, :length]


def slot_kinds(model: PreTrainedModel) -> Iterator[bool]:
    """For each layer of this model's cache, whether its rows can have slots: full and sliding attention."""
    for layer in DynamicCache(config=model.config.get_text_config()).layers:
        yield type(layer) in (DynamicLayer, DynamicSlidingWindowLayer)
