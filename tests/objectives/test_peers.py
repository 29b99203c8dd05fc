"""Our numbers against TRL's and Liger's, where those are right; runs where the peers are installed (benchmarks/objectives.py).

Liger has no T^2 and averages; TRL has no T^2 and no label term. What is left must be equal: divergence, gradient.
"""

from __future__ import annotations

import pytest
import torch

from distil.objectives import DenseTargets, fused_linear_distillation
from tests.objectives.builders import make_labels, normal

ROWS, VOCABULARY, TEMPERATURE = 12, 40, 2.0


def tensors() -> tuple[torch.Tensor, ...]:
    shapes = ((ROWS, 6), (VOCABULARY, 6), (ROWS, 8), (VOCABULARY, 8))
    hidden, weight, *teacher = (normal(*shape, seed=n, dtype=torch.float32) for n, shape in enumerate(shapes))
    return hidden.requires_grad_(), weight.requires_grad_(), *teacher


@pytest.mark.parametrize(("beta", "ours"), [(0.0, "forward_kl"), (1.0, "reverse_kl"), (0.3, "jsd")])
def test_trl_chunked_divergence_is_equal_up_to_t_squared(beta: float, ours: str) -> None:
    kernels = pytest.importorskip("trl.kernels.chunked_divergence", reason="trl is not installed in this environment")
    hidden, weight, teacher_hidden, teacher_weight = tensors()
    cap, scale = 8.0, 0.5
    theirs = kernels.ChunkedDivergenceFunction.apply(
        hidden, weight, None, teacher_hidden, teacher_weight, None, beta, TEMPERATURE, scale, cap, 1.0, None
    )[0].sum()
    mine = fused_linear_distillation(
        hidden,
        weight,
        DenseTargets(teacher_hidden, teacher_weight),
        make_labels(ROWS, VOCABULARY, ()),
        divergence=ours,
        beta=0.3,
        temperature=TEMPERATURE,
        distill_weight=1.0,
        label_weight=0.0,
        logit_scale=scale,
        logit_softcap=cap,
    )
    torch.testing.assert_close(mine.total / TEMPERATURE**2, theirs, rtol=1e-4, atol=1e-5)
    for got, expected in zip(
        torch.autograd.grad(mine.total, (hidden, weight)), torch.autograd.grad(theirs, (hidden, weight)), strict=True
    ):
        torch.testing.assert_close(got / TEMPERATURE**2, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("beta", "ours"), [(0.0, "forward_kl"), (1.0, "reverse_kl"), (0.3, "jsd")])
def test_liger_chunked_jsd_is_equal_up_to_t_squared(beta: float, ours: str) -> None:
    losses = pytest.importorskip(
        "liger_kernel.chunked_loss", reason="liger-kernel is not installed in this environment"
    )
    hidden, weight, teacher_hidden, teacher_weight = tensors()
    labels = make_labels(ROWS, VOCABULARY)
    theirs = losses.LigerFusedLinearJSDLoss(
        weight_hard_loss=0.3, weight_soft_loss=0.7 * TEMPERATURE**2, beta=beta, temperature=TEMPERATURE, compiled=False
    )(hidden, weight, teacher_hidden, teacher_weight, labels)
    mine = fused_linear_distillation(
        hidden,
        weight,
        DenseTargets(teacher_hidden, teacher_weight),
        labels,
        divergence=ours,
        beta=0.3,
        temperature=TEMPERATURE,
    )
    torch.testing.assert_close(mine.total / mine.count, theirs, rtol=1e-4, atol=1e-5)
    for got, expected in zip(
        torch.autograd.grad(mine.total / mine.count, (hidden, weight)),
        torch.autograd.grad(theirs, (hidden, weight)),
        strict=True,
    ):
        torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-5)
