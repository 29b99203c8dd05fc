"""The divergences and their gradients in closed form, on blocks of rows.

Every divergence here is an f-divergence, L = sum_j q_j f(p_j / q_j), of d = log p - log q. With the student's distribution
q = softmax(s) and g = dL/dq, the gradient with respect to the tempered logits is

    dL/ds_j = q_j g_j - q_j sum_k q_k g_k

so one function that returns (L, q g) serves full rows of a vocabulary and the few outcomes of a top-k target alike. Working with
d keeps probabilities that underflow out of every logarithm: log M is never log(probability sum). The formulas follow Agarwal et
al. 2024 (GKD: jsd), Ko et al. 2024 (DistiLLM: skew), Wen et al. 2023 (tvd); `reference.py` has them in plain autograd form, and
the tests compare both. It knows nothing of chunks, heads or temperature.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from distil.errors import UserError, did_you_mean
from distil.objectives.targets import DIVERGENCES


@dataclass(frozen=True)
class Divergence:
    """A divergence with its parameter; construct through `chosen_divergence`, which checks the values."""

    name: str
    beta: float = 0.5
    """jsd: M = beta p + (1 - beta) q, L = beta KL(p||M) + (1 - beta) KL(q||M). As in GKD, L shrinks to 0 at both ends."""
    alpha: float = 0.1
    """skew_kl: KL(p || alpha p + (1 - alpha) q); skew_reverse_kl: KL(q || (1 - alpha) p + alpha q)."""

    @property
    def parameter(self) -> float:
        """The one of the two that counts."""
        return self.beta if self.name == "jsd" else self.alpha


def chosen_divergence(name: str, beta: float = 0.5, alpha: float = 0.1) -> Divergence:
    """The checked divergence; a skewed one with alpha = 0 is the plain one. Raises UserError for an unknown name, beta outside
    (0, 1), alpha outside [0, 1)."""
    if name not in DIVERGENCES:
        raise UserError(
            f"Unknown divergence {name!r}; expected one of {', '.join(DIVERGENCES)}.{did_you_mean(name, DIVERGENCES)}"
        )
    if name == "jsd" and not 0.0 < beta < 1.0:
        raise UserError(
            f"jsd has beta = {beta:g}; expected a value between 0 and 1, exclusive: at either end the divergence is 0 for any "
            "student. Use divergence: forward_kl for what beta -> 0 tends to after scaling, reverse_kl for beta -> 1."
        )
    if name.startswith("skew") and not 0.0 <= alpha < 1.0:
        raise UserError(f"{name} has alpha = {alpha:g}; expected 0 <= alpha < 1. The paper's value is alpha: 0.1.")
    if alpha == 0.0:  # the ratio p / q has no bound then, and the limit in `divergence_and_pull` would cut it
        name = {"skew_kl": "forward_kl", "skew_reverse_kl": "reverse_kl"}.get(name, name)
    return Divergence(name, beta, alpha)


def divergence_and_pull(divergence: Divergence, difference: Tensor, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    """The divergence of each row and q * dL/dq.

    difference: (R, V) log p - log q, is overwritten; p, q: (R, V), are kept. Returns (R,) nats and (R, V).
    """
    name = divergence.name
    if name == "forward_kl":
        return dot_rows(p, difference), torch.neg(p, out=difference)
    if name == "reverse_kl":
        pull = difference.neg_().mul_(q)
        return pull.sum(-1), pull
    if name == "tvd":
        gap = torch.sub(q, p, out=difference)
        loss = 0.5 * gap.abs().sum(-1)
        return loss, gap.sign_().mul_(q).mul_(0.5)
    # e^limit fits the type; beyond it the term's weight, p or q, is below e^-limit, so nothing is lost.
    limit = 0.9 * math.log(torch.finfo(difference.dtype).max)
    difference.clamp_(-limit, limit)
    ratio = torch.exp(difference)
    if name == "jsd":
        beta = divergence.beta
        log_mix = ratio.mul_(beta).add_(1 - beta).log_()  # log(M / q)
        loss = beta * dot_rows(p, difference.sub_(log_mix)) - (1 - beta) * dot_rows(q, log_mix)
        return loss, log_mix.mul_(q).mul_(beta - 1)
    alpha = divergence.alpha
    if name == "skew_kl":
        log_mix = ratio.mul_(alpha).add_(1 - alpha).log_()
        loss = dot_rows(p, difference.sub_(log_mix))
        return loss, log_mix.neg_().exp_().mul_(p).mul_(alpha - 1)
    log_mix = ratio.mul_(1 - alpha).add_(alpha).log_()
    loss = -dot_rows(q, log_mix)
    inverse = torch.neg(log_mix, out=difference).exp_()  # q / M
    return loss, log_mix.add_(inverse, alpha=alpha).mul_(q).neg_()


def add_divergence(
    divergence: Divergence, difference: Tensor, p: Tensor, q: Tensor, gradient: Tensor | None, weight: float
) -> Tensor:
    """The divergence of each row (R,); adds weight * dL/ds, s the tempered logits, to `gradient` if it is given.

    difference: (R, V) log p - log q, is overwritten; p, q: (R, V), are kept.
    """
    if divergence.name == "forward_kl":  # dL/ds = q - p: two passes instead of five
        if gradient is not None:
            gradient.add_(q, alpha=weight).sub_(p, alpha=weight)
        return dot_rows(p, difference)
    loss, pull = divergence_and_pull(divergence, difference, p, q)
    if gradient is not None:
        gradient.add_(pull, alpha=weight)
        gradient.addcmul_(q, pull.sum(-1, keepdim=True), value=-weight)
    return loss


def dot_rows(left: Tensor, right: Tensor) -> Tensor:
    """(R, V), (R, V) -> (R,)"""
    if left.device.type == "cpu":
        return torch.linalg.vecdot(left, right)
    return (left * right).sum(-1)  # elsewhere vecdot is a matrix product, rounded to TF32 where that is allowed
