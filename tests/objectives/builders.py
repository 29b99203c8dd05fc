"""Small problems for the losses: a student head, a teacher of any kind, labels. Plain functions, float64 unless asked."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from distil.objectives import (
    DenseTargets,
    LogitTargets,
    LossSum,
    MixtureTargets,
    SampledTargets,
    Targets,
    fused_linear_distillation,
    reference_distillation,
    top_k_targets,
)
from distil.objectives.heads import OutputHead

DENSE_KINDS = ("dense", "logits", "mixture")
ALL_KINDS = (*DENSE_KINDS, "top_k", "sampled")


@dataclass
class Student:
    hidden: Tensor
    weight: Tensor
    bias: Tensor | None = None
    scale: float = 1.0
    cap: float | None = None

    @property
    def leaves(self) -> list[Tensor]:
        return [tensor for tensor in (self.hidden, self.weight, self.bias) if tensor is not None]

    def logits(self) -> Tensor:
        return OutputHead(self.weight, self.bias, self.scale, self.cap).logits(self.hidden)


def normal(*shape: int, seed: int, scale: float = 1.0, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(*shape, generator=generator, dtype=torch.float64) * scale).to(dtype)


def make_student(
    rows: int = 5,
    vocabulary: int = 9,
    width: int = 3,
    *,
    bias: bool = False,
    scale: float = 1.0,
    cap: float | None = None,
    seed: int = 1,
) -> Student:
    return Student(
        normal(rows, width, seed=seed).requires_grad_(),
        normal(vocabulary, width, seed=seed + 1).requires_grad_(),
        normal(vocabulary, seed=seed + 2).requires_grad_() if bias else None,
        scale,
        cap,
    )


def make_targets(kind: str, rows: int = 5, vocabulary: int = 9, temperature: float = 1.0, seed: int = 11) -> Targets:
    """Targets of a kind over `rows`; sparse ones have one padded place."""
    hidden, weight = normal(rows, 4, seed=seed), normal(vocabulary, 4, seed=seed + 1)
    logits = normal(rows, vocabulary, seed=seed + 2, scale=2.0)
    if kind == "dense":
        return DenseTargets(hidden, weight, normal(vocabulary, seed=seed + 3), logit_scale=1.5, logit_softcap=6.0)
    if kind == "logits":
        return LogitTargets(logits)
    if kind == "mixture":
        return MixtureTargets((DenseTargets(hidden, weight), LogitTargets(logits)), (1.0, 3.0))
    top = top_k_targets(logits, 3, temperature)
    if kind == "top_k":
        return top
    ids = top.ids.clone()
    ids[0, 2] = -1
    weights = normal(rows, 3, seed=seed + 4).abs() * (ids >= 0)
    return SampledTargets(ids, weights, normal(rows, seed=seed + 5).abs(), temperature)


def make_labels(rows: int = 5, vocabulary: int = 9, ignored: tuple[int, ...] = (2,), seed: int = 3) -> Tensor:
    labels = torch.randint(0, vocabulary, (rows,), generator=torch.Generator().manual_seed(seed))
    labels[list(ignored)] = -100
    return labels


def fused(student: Student, targets: Targets | None, labels: Tensor, **settings: object) -> LossSum:
    return fused_linear_distillation(
        student.hidden,
        student.weight,
        targets,
        labels,
        student_bias=student.bias,
        logit_scale=student.scale,
        logit_softcap=student.cap,
        **settings,  # type: ignore[arg-type]
    )


def plain(student: Student, targets: Targets | None, labels: Tensor, **settings: object) -> LossSum:
    return reference_distillation(student.logits(), targets, labels, **settings)  # type: ignore[arg-type]


def gradients(loss: LossSum, student: Student) -> list[Tensor]:
    return list(torch.autograd.grad(loss.total, student.leaves))


def same(ours: LossSum, theirs: LossSum, student: Student, tolerance: float = 1e-9) -> None:
    """Both losses, their parts, counts and all gradients agree."""
    assert ours.count == theirs.count
    for name in ("total", "distill", "label"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), rtol=tolerance, atol=tolerance)
    for got, expected in zip(gradients(ours, student), gradients(theirs, student), strict=True):
        torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)
