"""What one forward pass of a training keeps in memory, by a formula for the families of Llama's shape. No torch.

All other families are counted on a pass of their own (traced.py). A test compares both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from distil.models.shape import whole

PLAIN = ("llama", "mistral", "qwen2", "qwen3")
"""Families whose layers `plain_footprint` knows, with packed rows."""

WORST_BYTES = 34
"""Bytes a token, layer and hidden unit in 16 bits where a pass can't be traced (Korthikanti et al. 2022)."""


@dataclass(frozen=True)
class Footprint:
    """Bytes of one forward pass."""

    kept: float
    """A token: what is kept for the backward pass."""
    layer: float
    """A token: of that, one layer's."""
    inputs: float
    """A token: the inputs of all layers, which checkpointing keeps."""
    widest: float
    """A token: the largest tensor, of which the backward pass has a few at a time."""
    casts: int
    """16-bit copies of float32 weights, kept during the pass."""
    trained: int
    """Parameters that are trained."""
    traced: bool = True
    """false: from a rule of thumb, because this family can't be traced, or torch is not installed."""


def plain_footprint(data: Mapping[str, object], *, rank: int | None, half: bool, parameters: int) -> Footprint:
    """For a config of one of PLAIN. rank: of its LoRA adapter; None = full training, of `parameters`.

    half: products in bfloat16, as on a GPU; LoRA's frozen weights are then kept in it, too.

    What one layer keeps: its two norms' inputs (and what they scale, where the scale is trained), each projection's input (where
    autocast casts it from float32, a 16-bit copy for each), query, key and value of every head, attention's result, four tensors
    of the feed-forward.
    """
    hidden, layers, inner, heads = (
        whole(data, key) for key in ("hidden_size", "num_hidden_layers", "intermediate_size", "num_attention_heads")
    )
    queries = heads * (whole(data, "head_dim") or hidden // heads)
    keys = queries // heads * (whole(data, "num_key_value_heads") or heads)
    full, size = rank is None, 2 if half else 4
    norms = 4 * hidden * (4 if full else 2)
    inputs = (5 if half and full else 2) * hidden * size + queries * size
    adapter = 0 if full else 7 * int(rank or 0) * size
    layer = norms + inputs + 4 * queries * size + 4 * inner * size + adapter + 4 * heads + 16
    if data["model_type"] == "qwen3":  # query and key have norms of their own
        layer += (queries + keys) * (4 if half and not full else size) * (2 if full else 1)
    projections = 2 * hidden * queries + 2 * hidden * keys + 3 * hidden * inner
    widths = (hidden + queries) * 2 + (hidden + keys) * 2 + (hidden + inner) * 3
    return Footprint(
        kept=layer * layers + 8.0 * hidden,
        layer=layer,
        inputs=hidden * (2.0 if half and not full else 4.0) * layers,
        widest=float(inner * size),
        casts=2 * projections * layers if half and full else 0,
        trained=parameters if full else int(rank or 0) * widths * layers,
    )


def text_part(data: dict[str, object]) -> dict[str, object]:
    """Of a config that holds other parts, too, such as for images."""
    inner = data.get("text_config")
    return inner if isinstance(inner, dict) else data


def rule_of_thumb(data: dict[str, object], *, rank: int | None, half: bool, parameters: int) -> Footprint:
    """For a config of any family, where no pass can be traced; the other arguments are those of `plain_footprint`."""
    text = text_part(data)
    layers, hidden = max(1, whole(text, "num_hidden_layers")), whole(text, "hidden_size") or 1024
    layer = WORST_BYTES * hidden * (1 if half else 2)
    inputs = hidden * 4.0 * layers
    trained = parameters if rank is None else parameters // 100
    casts = 2 * parameters if half and rank is None else 0
    return Footprint(layer * layers, layer, inputs, 4.0 * 4 * hidden, casts, trained, traced=False)
