"""One layer's key/value cache that is written in place, in blocks, and how any cache loses rows. DynamicCache drives it."""

from __future__ import annotations

import torch
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, LinearAttentionCacheLayerMixin

BLOCK = 64


def growing_cache(model: PreTrainedModel, capacity: int) -> Cache:
    """A cache for at most `capacity` positions.

    Models with full attention everywhere get buffers that are written in place (transformers' own cache copies everything at
    every token); others get transformers' cache.
    """
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    cache = DynamicCache(config=config)
    if kinds != {"full_attention"} or not all(type(layer) is DynamicLayer for layer in cache.layers):
        return cache
    cache.layers = [BlockLayer(capacity) for _ in cache.layers]
    return cache


def keep_rows(cache: Cache, index: torch.Tensor) -> None:
    """Keeps the named rows of every layer: keys and values, and the states of convolutions and recurrences.

    transformers' own `batch_select_indices` knows no states; `reorder_cache` (for beams) selects rows of both.
    """
    for layer in cache.layers:
        if isinstance(layer, LinearAttentionCacheLayerMixin):
            layer.reorder_cache(index)  # type: ignore[arg-type]
        else:
            layer.batch_select_indices(index)  # type: ignore[union-attr]


class BlockLayer(DynamicLayer):
    """Keys and values (B, heads, length, d) as views of buffers that grow by blocks of 64 positions, up to `capacity`."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.length = 0
        self._buffers: tuple[torch.Tensor, torch.Tensor] | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Appends the new positions and returns views of all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self.length + key_states.shape[-2]
        if self._buffers is None or end > self._buffers[0].shape[-2]:
            self._grow(key_states, value_states, end)
        keys, values = self._buffers  # type: ignore[misc]
        keys[:, :, self.length : end] = key_states
        values[:, :, self.length : end] = value_states
        self.length = end
        self.keys, self.values = keys[:, :, :end], values[:, :, :end]
        return self.keys, self.values

    def _grow(self, key_states: torch.Tensor, value_states: torch.Tensor, end: int) -> None:
        capacity = max(end, min(self.capacity, (end // BLOCK + 1) * BLOCK))
        grown = []
        for states, old in ((key_states, self.keys), (value_states, self.values)):
            batch, heads, _, width = states.shape
            buffer = states.new_empty(batch, heads, capacity, width)
            if self.length:
                buffer[:, :, : self.length] = old  # type: ignore[assignment]
            grown.append(buffer)
        self._buffers = (grown[0], grown[1])

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keeps the named rows of the batch."""
        if self._buffers is not None:
            self._buffers = (self._buffers[0][indices], self._buffers[1][indices])
            self.keys, self.values = (buffer[:, :, : self.length] for buffer in self._buffers)
