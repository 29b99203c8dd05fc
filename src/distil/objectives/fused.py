"""`fused_linear_distillation`: the student's head, both loss terms and all gradients in one differentiable call.

Not for models: it sees final hidden states and head weights, aligned with the labels already (row i predicts labels[i]:
`shift.py`). `train/` calls it inside the wrapped model's own forward; benchmarks call it directly. The work is in `engine.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from distil.errors import UserError
from distil.objectives.dense import DenseObjective
from distil.objectives.engine import LabelsAlone, Objective, Pass, Terms, run_pass
from distil.objectives.gradients import Divergence, chosen_divergence
from distil.objectives.heads import OutputHead
from distil.objectives.sparse import SampledObjective, TopKObjective
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


def fused_linear_distillation(
    student_hidden: Tensor,
    student_weight: Tensor,
    targets: Targets | None,
    labels: Tensor,
    *,
    divergence: str = "forward_kl",
    beta: float = 0.5,
    alpha: float = 0.1,
    temperature: float = 1.0,
    distill_weight: float = 0.7,
    label_weight: float = 0.3,
    student_bias: Tensor | None = None,
    chunk_tokens: int | None = None,
    logit_scale: float = 1.0,
    logit_softcap: float | None = None,
) -> LossSum:
    """Distillation and label loss of N positions, as sums, without ever holding more than a chunk of logits.

    student_hidden: (N, H_s), final hidden states; student_weight: (V, H_s); student_bias: (V,) or None;
    targets: the teacher's side, N rows (see `targets.py`), or None for labels alone; labels: (N,) int64, -100 = not counted.
    divergence: forward_kl | reverse_kl | jsd | skew_kl | skew_reverse_kl | tvd, with beta (jsd) and alpha (skew).
    temperature: divides both sides' logits in the divergence, which is multiplied by T^2 (Hinton, Vinyals, Dean 2015), so that
    distill_weight : label_weight means the same at any temperature. chunk_tokens: rows at a time; default by a byte budget.
    logit_scale, logit_softcap: of the student (Cohere, Gemma); the teacher's are in its DenseTargets.

    Rows that are not counted are never projected. Gradients are computed in the same pass, only for the inputs that require
    them (a frozen head costs nothing), and not at all under `torch.no_grad()`. With a smaller vocabulary on one side the
    divergence compares the common prefix of ids, each side normalized over it; cross-entropy is over the student's whole
    vocabulary. float64 stays float64; bfloat16 and float16 heads have float32 logits and accumulators. If no row counts, the
    loss is a zero that is still connected to the graph. Teachers get no gradient.

    Raises UserError for settings and targets that do not fit each other, and for labels outside the vocabulary; ValueError
    for shapes that do not match.
    """
    chosen = chosen_divergence(divergence, beta, alpha)
    counted = _checked(student_hidden, student_weight, targets, labels, temperature)
    if targets is None:
        temperature, distill_weight = 1.0, 0.0
    else:
        refuse_mismatch(targets, divergence, temperature, labels.numel())
    terms = Terms(temperature, distill_weight, label_weight)
    job = _Job(targets, labels, counted, chosen, terms, chunk_tokens, logit_scale, logit_softcap)
    tensors = (student_hidden, student_weight, student_bias)
    wanted = tuple(tensor is not None and tensor.requires_grad for tensor in tensors)
    if not (torch.is_grad_enabled() and any(wanted)):
        done = job.run(*tensors, (False, False, False))
        return LossSum(done.total, done.distill, done.label, done.count)
    total, distill, label = _FusedLoss.apply(*tensors, job)
    return LossSum(total, distill, label, job.count)


@dataclass
class _Job:
    """Everything of one call but the differentiable tensors."""

    targets: Targets | None
    labels: Tensor
    counted: Tensor
    divergence: Divergence
    terms: Terms
    chunk_tokens: int | None
    logit_scale: float
    logit_softcap: float | None
    count: int = 0

    def run(self, hidden: Tensor, weight: Tensor, bias: Tensor | None, wanted: tuple[bool, bool, bool]) -> Pass:
        vocabulary = weight.shape[0]
        head = OutputHead(weight, bias, self.logit_scale, self.logit_softcap).detached()
        objective = self._objective(vocabulary)
        with torch.no_grad(), torch.autocast(hidden.device.type, enabled=False):
            done = run_pass(
                hidden.detach(), head, objective, self.labels, self.counted, self.terms, wanted, self.chunk_tokens
            )
        self.count = done.count
        return done

    def _objective(self, vocabulary: int) -> Objective:
        targets = self.targets
        if targets is None:
            return LabelsAlone()
        if isinstance(targets, TopKTargets):
            return TopKObjective(targets, self.divergence, vocabulary)
        if isinstance(targets, SampledTargets):
            return SampledObjective(targets)
        if isinstance(targets, DenseTargets | LogitTargets | MixtureTargets):
            return DenseObjective(targets, self.divergence, self.terms.temperature, vocabulary)
        raise TypeError(f"targets of type {type(targets).__name__} are not known")


class _FusedLoss(torch.autograd.Function):
    """Hands over the gradients that the forward pass computed; a second backward of a kept graph computes them again."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, job: _Job
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.job = job
        ctx.wanted = tuple(ctx.needs_input_grad[:3])
        ctx.save_for_backward(hidden, weight, bias)
        done = job.run(hidden, weight, bias, ctx.wanted)
        ctx.gradients = [done.hidden, done.weight, done.bias]
        ctx.mark_non_differentiable(done.distill, done.label)
        return done.total, done.distill, done.label

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        gradients, ctx.gradients = ctx.gradients, None
        inputs = ctx.saved_tensors
        if gradients is None:
            done = ctx.job.run(*inputs, ctx.wanted)
            gradients = [done.hidden, done.weight, done.bias]
        plain = upstream.device.type == "cpu" and upstream.item() == 1.0
        results: list[Tensor | None] = []
        while gradients:  # popped, so that autograd may keep the tensor itself as .grad instead of a copy
            gradient, tensor = gradients.pop(0), inputs[len(results)]
            results.append(None if gradient is None else _scaled(gradient, None if plain else upstream, tensor.dtype))
            del gradient
        return (*results, None)


def _scaled(gradient: Tensor, upstream: Tensor | None, dtype: torch.dtype) -> Tensor:
    """upstream * gradient in `dtype`; the gradient itself where that is its own."""
    if upstream is None:
        return gradient.to(dtype)
    if gradient.dtype == dtype or gradient.device.type == "cpu":
        return gradient.mul_(upstream).to(dtype)
    return torch.mul(gradient, upstream, out=torch.empty_like(gradient, dtype=dtype))  # one pass on a GPU


def _checked(hidden: Tensor, weight: Tensor, targets: Targets | None, labels: Tensor, temperature: float) -> Tensor:
    """Raises on shapes and labels that do not fit; returns which rows count, (N,) bool."""
    if hidden.dim() != 2 or weight.dim() != 2 or hidden.shape[1] != weight.shape[1] or labels.shape != hidden.shape[:1]:
        raise ValueError(
            f"student_hidden {tuple(hidden.shape)}, student_weight {tuple(weight.shape)} and labels {tuple(labels.shape)} "
            "do not match (N, H), (V, H), (N,); flatten batch and time with next_token_rows"
        )
    if not temperature > 0:
        raise UserError(
            f"The temperature is {temperature:g}; expected a positive number. The usual value is temperature: 2.0."
        )
    counted = labels != IGNORED
    low, high, highest = _extremes(labels.where(counted, 0), targets)
    if low < 0 or high >= weight.shape[0]:
        raise UserError(
            f"A label is {low if low < 0 else high} and the student's vocabulary has {weight.shape[0]} ids; expected labels "
            f"from 0 to {weight.shape[0] - 1}, or {IGNORED} for positions that do not count. The text was encoded with "
            "another tokenizer than the student's: encode it with the student's own."
        )
    if highest >= weight.shape[0]:
        raise UserError(
            f"The teacher's signal names token id {highest} and the student's vocabulary has {weight.shape[0]} ids; "
            "expected a signal of the student's own tokenizer. Build the signal with `distil signals` for this student."
        )
    return counted


def _extremes(labels: Tensor, targets: Targets | None) -> tuple[int, int, int]:
    """The lowest and the highest label and the highest id of sparse targets, 0 where there is none; read off the device at once,
    because each reading waits for all that was asked of it before."""
    if not labels.numel():
        return 0, 0, 0
    found = list(torch.aminmax(labels))
    if isinstance(targets, SparseTargets) and targets.ids.numel():
        found.append(targets.ids.max().to(labels))
    low, high, *highest = torch.stack(found).tolist()
    return low, high, highest[0] if highest else 0
