"""Attention over several documents in one row, where each sees only itself: no mask, no padding outside the attention.

Projections, norms and the feed-forward run on the row without a pad token; inside the attention the documents stand side by
side, padded to the longest, with a causal mask. That is what variable-length kernels do on a GPU, in portable torch: on a CPU
it costs the square of a document's length, not of the row's. Registered with transformers' attention interface by `use_packed`;
student.py passes the layout along. Imports torch at the top: only train/ files that are imported late use it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

NAME = "distil_packed"


def no_mask(device: torch.device) -> Tensor:
    """A four-dimensional stand-in: transformers passes such a mask on as it is instead of building (N, N)."""
    return torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device)


@dataclass(frozen=True)
class PackedLayout:
    """Where the documents of one flat row lie."""

    places: Tensor
    """(N,) int64: token -> its place in the (documents * longest) grid."""
    documents: int
    longest: int

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device | None = None) -> PackedLayout:
        """Documents of these lengths, one after another."""
        longest = max(lengths)
        places = torch.cat([torch.arange(n) + d * longest for d, n in enumerate(lengths)])
        return cls(places.to(device) if device is not None else places, len(lengths), longest)

    def to(self, device: torch.device) -> PackedLayout:
        return PackedLayout(self.places.to(device), self.documents, self.longest)


class _Spread(torch.autograd.Function):
    """(N, ...) rows to their places in a grid of zeros; the gradient picks them again."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, places: Tensor, size: int) -> Tensor:
        ctx.save_for_backward(places)
        return rows.new_zeros(size, *rows.shape[1:]).index_copy_(0, places, rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return gradients[0].index_select(0, places), None, None


class _Collect(torch.autograd.Function):
    """The inverse of _Spread. Places are distinct, so the gradient is a copy and needs no slow accumulation."""

    @staticmethod
    def forward(ctx: Any, grid: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.size = grid.shape[0]
        return grid.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (places,) = ctx.saved_tensors
        gradient = gradients[0]
        return gradient.new_zeros(ctx.size, *gradient.shape[1:]).index_copy_(0, places, gradient), None


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
    **rest: Any,
) -> tuple[Tensor, None]:
    """transformers' attention signature -> ((1, N, heads, d), None). Without a layout it is transformers' own sdpa."""
    if packed_layout is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **rest
        )
    groups = query.shape[1] // key.shape[1]
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
    return _Collect.apply(flat, packed_layout.places)[None], None


def _to_grid(tensor: Tensor, layout: PackedLayout) -> Tensor:
    """(1, heads, N, d) -> (documents, heads, longest, d)"""
    rows = tensor[0].transpose(0, 1)  # (N, heads, d)
    grid = _Spread.apply(rows, layout.places, layout.documents * layout.longest)
    return grid.view(layout.documents, layout.longest, *rows.shape[1:]).transpose(1, 2)


def can_pack(model: Any) -> bool:
    """Whether the model's attention goes through transformers' interface and is plain enough to be done document by
    document."""
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    capped = getattr(config, "attn_logit_softcapping", None)
    plain = kinds <= {"full_attention", "sliding_attention"} and not capped
    return bool(
        plain and getattr(model, "_supports_attention_backend", False) and getattr(model, "_supports_sdpa", False)
    )


def use_packed(model: Any) -> str:
    """Switches the model to `packed_attention` and returns the name of what it used before."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)  # for calls without a layout, such as generation
    before = str(model.config._attn_implementation)
    model.set_attn_implementation(NAME)
    return before
