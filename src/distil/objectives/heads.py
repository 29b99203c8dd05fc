"""An output head: hidden rows to tempered logits, and the gradient of those logits back to rows, weight and bias.

Temperature belongs to the projection because dividing by it is free inside the matrix product.
With r = h W^T + b:  no cap: s = (scale / T) r.  cap: s = (cap / T) tanh((scale / cap) r).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

LOW_PRECISION = (torch.bfloat16, torch.float16)


def head_dtype(weight: Tensor) -> torch.dtype:
    """The dtype that the head's products run in: the weight's, or autocast's where it is on and the weight is wider."""
    kind = weight.device.type
    if torch.is_autocast_enabled(kind) and weight.dtype == torch.float32:
        return torch.get_autocast_dtype(kind)
    return weight.dtype


def work_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype of logits, losses and accumulators: float64 stays, everything else is float32 (bfloat16 steps are 0.125
    near 20, so a log-sum-exp in bfloat16 is noise)."""
    return torch.float64 if dtype == torch.float64 else torch.float32


@dataclass(frozen=True)
class OutputHead:
    """logits = softcap(scale * (h W^T + b)), with softcap(z) = c tanh(z / c) or the identity."""

    weight: Tensor
    """(V, H)"""
    bias: Tensor | None = None
    """(V,)"""
    scale: float = 1.0
    """Multiplies the logits (Cohere's `logit_scale`; 1 / `logits_scaling` for Granite)."""
    softcap: float | None = None
    """Gemma's `final_logit_softcapping`, after the scale."""

    def detached(self, vocabulary: int | None = None) -> OutputHead:
        """The head over the first `vocabulary` ids (default: all), without gradients, in the dtypes of the products."""
        dtype = head_dtype(self.weight)
        bias = None if self.bias is None else self.bias.detach()[:vocabulary].to(work_dtype(dtype))
        return OutputHead(self.weight.detach()[:vocabulary].to(dtype), bias, self.scale, self.softcap)

    def logits(self, hidden: Tensor) -> Tensor:
        """(N, H) -> (N, V), differentiable, in the dtype of hidden and weight."""
        logits = torch.nn.functional.linear(hidden, self.weight, self.bias) * self.scale
        return logits if self.softcap is None else self.softcap * torch.tanh(logits / self.softcap)

    def wide_logits(self, hidden: Tensor) -> Tensor:
        """(N, H) -> (N, V) float32; products of half-precision operands come out in float32 where the device can."""
        logits = wide_product(hidden, self.weight.t()).float()
        logits = (logits if self.bias is None else logits + self.bias.float()) * self.scale
        return logits if self.softcap is None else self.softcap * torch.tanh(logits / self.softcap)

    def multiplier(self, temperature: float) -> float:
        """What r is multiplied by before the cap's tanh, or altogether without a cap."""
        return self.scale / (temperature if self.softcap is None else self.softcap)

    def project(self, hidden: Tensor, temperature: float, out: Tensor) -> None:
        """out (C, V) = multiplier * (hidden (C, H) W^T + b), in out's dtype. The cap is applied by `cap_`, block by block."""
        multiplier = self.multiplier(temperature)
        transposed = self.weight.t()
        if self.weight.dtype == out.dtype:
            hidden = hidden.to(out.dtype)
            if self.bias is None:
                torch.addmm(out, hidden, transposed, beta=0, alpha=multiplier, out=out)
            else:
                torch.addmm(self.bias, hidden, transposed, beta=multiplier, alpha=multiplier, out=out)
            return
        add_product(out, hidden.to(self.weight.dtype), transposed, multiplier, added=False)
        if self.bias is not None:
            out.add_(self.bias, alpha=multiplier)

    def cap_(self, projected: Tensor, temperature: float, slope: Tensor | None = None) -> None:
        """Projected rows to tempered logits, in place; `slope`, if given, receives d logits / d projected."""
        if self.softcap is None:
            return
        projected.tanh_()
        if slope is not None:
            torch.mul(projected, projected, out=slope).neg_().add_(1.0).mul_(self.softcap / temperature)
        projected.mul_(self.softcap / temperature)


class HeadGradients:
    """Accumulates dL/dhidden, dL/dweight and dL/dbias over the chunks of a batch; each is None where it is not wanted.

    Sums over chunks are kept in float32 for bfloat16 and float16 heads: adding chunk after chunk in bfloat16 loses whatever
    is 256 times smaller than what is there already.
    """

    def __init__(self, head: OutputHead, rows: int, hidden_size: int, wanted: tuple[bool, bool, bool]) -> None:
        dtype, device = work_dtype(head.weight.dtype), head.weight.device
        self.head = head
        self.hidden = torch.empty(rows, hidden_size, dtype=dtype, device=device) if wanted[0] else None
        self.weight = torch.empty(head.weight.shape, dtype=dtype, device=device) if wanted[1] else None
        self.bias = torch.zeros(head.weight.shape[0], dtype=dtype, device=device) if wanted[2] else None
        if self.weight is not None and not rows:
            self.weight.zero_()

    def add(self, gradient: Tensor, hidden: Tensor, span: tuple[int, int], temperature: float) -> None:
        """gradient (C, V) with respect to the projected logits of the rows [span), whose hidden states are (C, H)."""
        multiplier = self.head.multiplier(temperature)
        narrow = self.head.weight.dtype
        if self.bias is not None:
            self.bias.add_(gradient.sum(0), alpha=multiplier)
        gradient = gradient.to(narrow)
        if self.hidden is not None:
            add_product(self.hidden[span[0] : span[1]], gradient, self.head.weight, multiplier, added=False)
        if self.weight is not None:  # the first chunk sets it, the others add
            add_product(self.weight, gradient.t(), hidden.to(narrow), multiplier, added=span[0] > 0)


def add_product(out: Tensor, left: Tensor, right: Tensor, alpha: float, *, added: bool) -> None:
    """alpha * (left @ right) is written to `out`, or added to it, in out's dtype; low-precision products as in `wide_product`."""
    if left.dtype == out.dtype:
        torch.addmm(out, left, right, beta=int(added), alpha=alpha, out=out)
    elif left.is_cuda and left.dtype in LOW_PRECISION and out.dtype == torch.float32:
        # Within the product: adding a chunk to a head's gradient apart from it would take longer than the product.
        torch.addmm(out, left, right, out_dtype=torch.float32, beta=int(added), alpha=alpha, out=out)
    elif added:
        out.add_(wide_product(left, right), alpha=alpha)
    else:
        out.copy_(wide_product(left, right))
        if alpha != 1.0:
            out.mul_(alpha)


def wide_product(left: Tensor, right: Tensor) -> Tensor:
    """left @ right in float32 for low-precision operands: float32 out of the product on CUDA; on a CPU the product rounds
    once to its own dtype, as the model's own head does."""
    if left.dtype in LOW_PRECISION and left.is_cuda:
        return torch.mm(left, right, out_dtype=torch.float32)
    return (left @ right).to(work_dtype(left.dtype))
