"""Start the teacher from the student base: the same function, twice as wide and two layers deeper (Net2Net).

Chen, Goodfellow, Shlens: "Net2Net: Accelerating Learning via Knowledge Transfer", ICLR 2016, for a Llama with tied
embeddings: every residual feature twice, every input weight halved, new layers that add nothing at first. A little noise
lets the copies diverge. Saves the teacher the hours it takes for copying to emerge.
"""

from __future__ import annotations

from typing import Any

NEW_LAYERS = (2, 4)  # places of the added layers in the grown model
NOISE = 0.05  # of each matrix's root mean square


def _wide_input(weight: Any) -> Any:
    """(O, I) -> (O, 2 I): reads the doubled features, each half."""
    import torch

    return torch.cat((weight, weight), 1) / 2


def _head_rows(weight: Any, heads: int, fill: Any) -> Any:
    """Rows of q or k, (H d, I) -> (H 2d, I), so that rotary frequencies stay: pair i of d becomes pair 2 i of 2 d.

    The rotary pairs are (i, i + d/2); frequency i of width d equals frequency 2 i of width 2 d. `fill` is (H 2d, I): the
    rows between keep its values.
    """
    half = weight.shape[0] // heads // 2
    old = weight.view(heads, 2, half, -1)
    new = fill.clone().view(heads, 2, half, 2, -1)
    new[:, :, :, 0] = old
    return new.reshape(fill.shape)


def _twice_per_head(weight: Any, heads: int) -> Any:
    """Rows of v, (H d, I) -> (H 2d, I): each head's rows twice."""
    import torch

    old = weight.view(heads, -1, weight.shape[1])
    return torch.cat((old, old), 1).reshape(-1, weight.shape[1])


def _grow_layer(old: Any, new: Any, heads: int) -> None:
    import torch

    for name in ("q_proj", "k_proj"):
        source, target = getattr(old.self_attn, name).weight, getattr(new.self_attn, name).weight
        rows = _wide_input(source) * (
            2**0.5 if name == "q_proj" else 1.0
        )  # scores are divided by a root of twice the width
        target.copy_(_head_rows(rows, heads, target))
    new.self_attn.v_proj.weight.copy_(_twice_per_head(_wide_input(old.self_attn.v_proj.weight), heads))
    out = _twice_per_head(old.self_attn.o_proj.weight.T.contiguous(), heads).T / 2
    new.self_attn.o_proj.weight.copy_(torch.cat((out, out), 0))
    for name in ("gate_proj", "up_proj"):
        wide = _wide_input(getattr(old.mlp, name).weight)
        getattr(new.mlp, name).weight.copy_(torch.cat((wide, wide), 0))
    down = _wide_input(old.mlp.down_proj.weight)
    new.mlp.down_proj.weight.copy_(torch.cat((down, down), 0))
    for name in ("input_layernorm", "post_attention_layernorm"):
        weight = getattr(old, name).weight
        getattr(new, name).weight.copy_(torch.cat((weight, weight)))


def grow(student: Any, teacher: Any, *, noise: float = NOISE, seed: int = 0) -> None:
    """Fill `teacher` (twice the widths, `NEW_LAYERS` more layers, same heads) so that it computes what `student` does."""
    import torch

    heads = student.config.num_attention_heads
    old_layers = iter(student.model.layers)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        embedding, norm = student.model.embed_tokens.weight, student.model.norm.weight
        teacher.model.embed_tokens.weight.copy_(torch.cat((embedding, embedding), 1))
        teacher.model.norm.weight.copy_(torch.cat((norm, norm)) / 2)  # the tied head sums every feature twice
        for place, layer in enumerate(teacher.model.layers):
            if place in NEW_LAYERS:
                layer.self_attn.o_proj.weight.zero_()
                layer.mlp.down_proj.weight.zero_()
            else:
                _grow_layer(next(old_layers), layer, heads)
        for p in teacher.parameters():
            if p.ndim == 2:
                p.add_(torch.randn(p.shape, generator=generator) * p.pow(2).mean().sqrt() * noise)
