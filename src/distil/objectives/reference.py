"""Every objective written as its formula, by autograd, in as much memory as it takes.

This is what the fused forms are tested against and what `distil selfcheck` compares with on a small batch; it is not for
training at a real vocabulary. Give float64 tensors and everything stays float64.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from distil.objectives.gradients import chosen_divergence
from distil.objectives.targets import (
    IGNORED,
    DenseTargets,
    LogitTargets,
    LossSum,
    MixtureTargets,
    SampledTargets,
    SparseTargets,
    Targets,
    TopKTargets,
    refuse_mismatch,
)


def divergence_rows(
    name: str, teacher_log_probs: Tensor, student_log_probs: Tensor, *, beta: float = 0.5, alpha: float = 0.1
) -> Tensor:
    """D of each row in nats. Both (N, V) log-probabilities (not logits); -inf in the teacher's is probability 0.

    With p the teacher and q the student: forward_kl KL(p||q); reverse_kl KL(q||p); jsd beta KL(p||M) + (1 - beta) KL(q||M),
    M = beta p + (1 - beta) q; skew_kl KL(p||alpha p + (1 - alpha) q); skew_reverse_kl KL(q||(1 - alpha) p + alpha q);
    tvd 1/2 sum |p - q|. Raises UserError for an unknown name or a parameter out of range.
    """
    chosen_divergence(name, beta, alpha)
    if name == "forward_kl":
        return _kl(teacher_log_probs, student_log_probs)
    if name == "reverse_kl":
        return _kl(student_log_probs, teacher_log_probs)
    if name == "jsd":
        mixture = _log_mixture(beta, teacher_log_probs, student_log_probs)
        return beta * _kl(teacher_log_probs, mixture) + (1 - beta) * _kl(student_log_probs, mixture)
    if name == "skew_kl":
        return _kl(teacher_log_probs, _log_mixture(alpha, teacher_log_probs, student_log_probs))
    if name == "skew_reverse_kl":
        return _kl(student_log_probs, _log_mixture(1 - alpha, teacher_log_probs, student_log_probs))
    return 0.5 * (teacher_log_probs.exp() - student_log_probs.exp()).abs().sum(-1)


def teacher_log_probs(targets: Targets, vocabulary: int, temperature: float) -> Tensor:
    """(N, vocabulary) log p_T over the first `vocabulary` ids, for the targets that know every logit."""
    if isinstance(targets, MixtureTargets):
        parts = [teacher_log_probs(teacher, vocabulary, temperature) for teacher in targets.teachers]
        shares = torch.tensor(targets.shares, dtype=parts[0].dtype).log()
        return torch.logsumexp(torch.stack([part + share for part, share in zip(parts, shares, strict=True)]), 0)
    if isinstance(targets, DenseTargets):
        logits = targets.head.logits(targets.hidden)
    elif isinstance(targets, LogitTargets):
        logits = targets.logits
    else:
        raise TypeError(f"{type(targets).__name__} does not know every logit")
    return torch.log_softmax(logits[:, :vocabulary] / temperature, -1)


def reference_distillation(
    logits: Tensor,
    targets: Targets | None,
    labels: Tensor,
    *,
    divergence: str = "forward_kl",
    beta: float = 0.5,
    alpha: float = 0.1,
    temperature: float = 1.0,
    weights: tuple[float, float] = (0.7, 0.3),
) -> LossSum:
    """What `fused_linear_distillation` computes, from the student's final logits (N, V) at temperature 1.

    labels: (N,) with -100 for rows that do not count; weights: (distill_weight, label_weight).
    """
    counted = labels != IGNORED
    label = torch.nn.functional.cross_entropy(logits[counted], labels[counted], reduction="sum")
    distill = logits.new_zeros(())
    if targets is not None:
        refuse_mismatch(targets, divergence, temperature, logits.shape[0])
        if isinstance(targets, SparseTargets):
            rows = _sparse_rows(targets, logits / temperature, divergence, beta, alpha)
        else:
            shared = min(targets.vocabulary, logits.shape[1])
            student = torch.log_softmax(logits[:, :shared] / temperature, -1)
            teacher = teacher_log_probs(targets, shared, temperature)
            rows = divergence_rows(divergence, teacher, student, beta=beta, alpha=alpha)
        distill = rows[counted].sum() * temperature**2
    total = weights[0] * distill + weights[1] * label
    return LossSum(total, distill.detach(), label.detach(), int(counted.sum()))


def _sparse_rows(targets: SparseTargets, tempered: Tensor, divergence: str, beta: float, alpha: float) -> Tensor:
    student = torch.log_softmax(tempered, -1)
    present = targets.ids >= 0
    kept = student.gather(1, targets.ids.clamp(min=0))
    if isinstance(targets, SampledTargets):
        loss = -(targets.weights * kept).sum(-1)
        return loss if targets.entropy is None else loss - targets.entropy
    if not isinstance(targets, TopKTargets):
        raise TypeError(f"unknown sparse targets {type(targets).__name__}")
    rows = []
    for row in range(targets.rows):
        ids = targets.ids[row][present[row]]
        outside = torch.ones_like(student[row], dtype=torch.bool).index_fill(0, ids, False)
        q = torch.cat([student[row][ids], torch.logsumexp(student[row][outside], 0)[None]])
        p = torch.cat([targets.log_probs[row][present[row]], targets.log_tail[row][None]]).to(q.dtype).clamp(min=-30.0)
        if targets.within or not outside.any():
            q, p = torch.log_softmax(q[:-1], -1), p[:-1]
        rows.append(divergence_rows(divergence, torch.log_softmax(p, -1)[None], q[None], beta=beta, alpha=alpha))
    return torch.cat(rows)


def _log_mixture(share: float, log_p: Tensor, log_q: Tensor) -> Tensor:
    """log(share p + (1 - share) q), also where both underflow."""
    if share in (0.0, 1.0):
        return log_p if share else log_q
    return torch.logaddexp(log_p + math.log(share), log_q + math.log1p(-share))


def _kl(log_a: Tensor, log_b: Tensor) -> Tensor:
    """KL(a || b) of each row, where 0 log 0 = 0."""
    a = log_a.exp()
    return (a * (log_a - log_b)).masked_fill(a == 0, 0.0).sum(-1)
