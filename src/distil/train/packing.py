"""Packing: attention over several documents in one row, where each document sees only itself.

Projections, norms and the feed-forward run on the row without padding; inside the attention the documents form a grid, padded to
the longest, with a causal mask. That is what variable-length kernels do on a GPU, in portable torch: on a CPU it costs the
square of a document's length instead of the row's. `use_packed` registers it with transformers' attention interface; the layout
reaches it as an input of the decoder (`MicroBatch.inputs`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "distil_packed"


def no_mask(device: torch.device) -> Tensor:
    """A four-dimensional placeholder: transformers passes such a mask through instead of building an (N, N) one."""
    return torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device)


@dataclass(frozen=True)
class PackedLayout:
    """How the documents of one flat row map to a padded grid."""

    cells: Tensor
    """(N,) int64: the cell of each token in the flattened (documents * longest) grid."""
    documents: int
    longest: int

    @classmethod
    def of(cls, lengths: Sequence[int]) -> PackedLayout:
        """Documents of these lengths, one after another."""
        longest = max(lengths)
        cells = torch.cat([torch.arange(n) + d * longest for d, n in enumerate(lengths)])
        return cls(cells, len(lengths), longest)

    def to(self, device: torch.device) -> PackedLayout:
        return PackedLayout(self.cells.to(device), self.documents, self.longest)


class _Scatter(torch.autograd.Function):
    """(N, ...) rows into the cells of a grid of zeros; the gradient gathers them."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, cells: Tensor, size: int) -> Tensor:
        ctx.save_for_backward(cells)
        return rows.new_zeros(size, *rows.shape[1:]).index_copy_(0, cells, rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (cells,) = ctx.saved_tensors
        return gradients[0].index_select(0, cells), None, None


class _Gather(torch.autograd.Function):
    """The inverse of _Scatter. Cells are distinct, so the gradient is a copy without slow accumulation."""

    @staticmethod
    def forward(ctx: Any, grid: Tensor, cells: Tensor) -> Tensor:
        ctx.save_for_backward(cells)
        ctx.size = grid.shape[0]
        return grid.index_select(0, cells)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (cells,) = ctx.saved_tensors
        gradient = gradients[0]
        return gradient.new_zeros(ctx.size, *gradient.shape[1:]).index_copy_(0, cells, gradient), None


def packed_attention(
    module: torch.nn.Module,
    query: Tensor,  # (1, heads, N, d)
    key: Tensor,  # (1, key heads, N, d)
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    packed_layout: PackedLayout | None = None,
    sliding_window: int | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """transformers' attention signature -> ((1, N, heads, d), None). Without a layout it is transformers' own SDPA."""
    if packed_layout is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        )
    groups = query.shape[1] // key.shape[1]
    if not query.is_meta and torch.is_autocast_enabled(
        query.device.type
    ):  # as it would cast them for the products: a grid of half the bytes
        dtype = torch.get_autocast_dtype(query.device.type)
        query, key, value = (t.to(dtype) if t.dtype == torch.float32 else t for t in (query, key, value))
    query, key, value = (_to_grid(tensor, packed_layout) for tensor in (query, key, value))
    if groups > 1:
        key, value = (tensor.repeat_interleave(groups, dim=1) for tensor in (key, value))
    mask = None
    if sliding_window is not None and packed_layout.longest > sliding_window:
        steps = torch.arange(packed_layout.longest, device=query.device)
        behind = steps[:, None] - steps[None, :]
        mask = (behind >= 0) & (behind < sliding_window)
    out = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, dropout_p=dropout, scale=scaling, is_causal=mask is None
    )  # (documents, heads, longest, d)
    flat = out.transpose(1, 2).reshape(-1, out.shape[1], out.shape[3])
    return _Gather.apply(flat, packed_layout.cells)[None], None


def _to_grid(tensor: Tensor, layout: PackedLayout) -> Tensor:
    """(1, heads, N, d) -> (documents, heads, longest, d)"""
    rows = tensor[0].transpose(0, 1)  # (N, heads, d)
    grid = _Scatter.apply(rows, layout.cells, layout.documents * layout.longest)
    return grid.view(layout.documents, layout.longest, *rows.shape[1:]).transpose(1, 2)


def can_pack(model: PreTrainedModel) -> bool:
    """Whether the attention goes through transformers' interface and is full or sliding-window, without a soft cap."""
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    capped = getattr(config, "attn_logit_softcapping", None)
    plain = kinds <= {"full_attention", "sliding_attention"} and not capped
    return plain and all(getattr(model, name, False) for name in ("_supports_attention_backend", "_supports_sdpa"))


def use_own(model: PreTrainedModel) -> None:
    """Switches the model back to transformers' attention."""
    model.set_attn_implementation("sdpa")


def use_packed(model: PreTrainedModel) -> None:
    """Switches the model to `packed_attention`."""
    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)  # for calls without a layout, such as generation
    model.set_attn_implementation(NAME)
