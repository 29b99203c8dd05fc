"""The one loop over chunks and blocks: losses, and gradients at once, so that nothing is projected twice.

For each chunk of counted rows: project the student, read the teacher, overwrite the student's logits block by block with the
gradient of both loss terms, and carry that back through the head. It is plain tensor code without autograd; `fused.py` gives it
the face of a differentiable function, `dense.py` and `sparse.py` give it the teacher's side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from distil.objectives.chunks import Buffers, Rows, block_rows, chunk_rows
from distil.objectives.gradients import Distribution, distribution
from distil.objectives.heads import Head, HeadGradients, work_dtype


class Objective(Protocol):
    """The teacher's side of the distillation term (see `DenseObjective.load` and `.add` for the arguments)."""

    @property
    def chunk_buffers(self) -> int: ...

    def load(self, rows: Rows, start: int, stop: int, buffers: Buffers) -> None: ...

    def add(
        self, block: slice, student: Distribution, gradient: Tensor | None, weight: float, buffers: Buffers
    ) -> Tensor: ...


@dataclass(frozen=True)
class Terms:
    """total = distill_weight * T^2 * divergence + label_weight * cross-entropy."""

    temperature: float
    distill_weight: float
    label_weight: float


@dataclass(frozen=True)
class Pass:
    """Sums over the counted rows, and the gradients that were wanted, in the accumulators' dtype."""

    total: Tensor
    distill: Tensor
    label: Tensor
    count: int
    hidden: Tensor | None
    """(N, H)"""
    weight: Tensor | None
    """(V, H)"""
    bias: Tensor | None
    """(V,)"""


def run_pass(
    hidden: Tensor,
    head: Head,
    objective: Objective | None,
    labels: Tensor,
    counted: Tensor,
    terms: Terms,
    wanted: tuple[bool, bool, bool],
    chunk_tokens: int | None,
) -> Pass:
    """One forward over the rows where `counted` (N,) is true; `wanted` says which of hidden, weight, bias need a gradient."""
    vocabulary = head.weight.shape[0]
    buffers = Buffers(work_dtype(head.weight.dtype), hidden.device)
    held = 1 + (objective.chunk_buffers if objective else 0)
    rows = Rows(counted, chunk_rows(vocabulary, held, buffers.dtype, hidden.device, chunk_tokens))
    gradients = HeadGradients(head, rows.count, hidden.shape[1], wanted)
    losses = torch.zeros(2, rows.count, dtype=buffers.dtype, device=hidden.device)  # distill, label
    chunk = _Chunk(head, objective, terms, buffers, any(wanted))
    for start, stop in rows.spans():
        chunk_hidden = rows.take(hidden, start, stop)
        logits = buffers.get("student", stop - start, vocabulary)
        head.project(chunk_hidden, terms.temperature, logits)
        if objective is not None:
            objective.load(rows, start, stop, buffers)
        chunk.blocks(logits, rows.take(labels, start, stop), losses[:, start:stop])
        if any(wanted):
            gradients.add(logits, chunk_hidden, (start, stop), terms.temperature)
    distill = losses[0].sum() * terms.temperature**2
    label = losses[1].sum()
    total = terms.distill_weight * distill + terms.label_weight * label
    hidden_gradient = None if gradients.hidden is None else rows.spread(gradients.hidden)
    return Pass(total, distill, label, rows.count, hidden_gradient, gradients.weight, gradients.bias)


class _Chunk:
    """What happens to a chunk of projected rows between the two pairs of matrix products."""

    def __init__(
        self, head: Head, objective: Objective | None, terms: Terms, buffers: Buffers, differentiate: bool
    ) -> None:
        self.head = head
        self.objective = objective
        self.terms = terms
        self.buffers = buffers
        self.differentiate = differentiate

    def blocks(self, logits: Tensor, labels: Tensor, losses: Tensor) -> None:
        """logits (C, V) as projected become their gradient (if wanted); losses (2, C) are filled in."""
        count, vocabulary = logits.shape
        step = block_rows(vocabulary, logits.dtype, logits.device, count)
        for start in range(0, count, step):
            block = slice(start, min(start + step, count))
            losses[0, block], losses[1, block] = self._block(block, logits[block], labels[block, None])

    def _block(self, block: slice, logits: Tensor, labels: Tensor) -> tuple[Tensor | float, Tensor]:
        rows, vocabulary = logits.shape
        terms, buffers = self.terms, self.buffers
        slope = gradient = None
        if self.differentiate:
            gradient = buffers.get("gradient", rows, vocabulary)
            if self.head.softcap is not None:
                slope = buffers.get("slope", rows, vocabulary)
        self.head.cap_(logits, terms.temperature, slope)
        student = distribution(logits, buffers.get("q", rows, vocabulary))
        label_loss = self._label_term(student, labels, gradient)
        distill_loss: Tensor | float = 0.0
        if self.objective is not None:
            weight = terms.distill_weight * terms.temperature**2
            distill_loss = self.objective.add(block, student, gradient, weight, buffers)
        if gradient is not None and slope is not None:
            torch.mul(gradient, slope, out=logits)
        elif gradient is not None:
            logits.copy_(gradient)
        return distill_loss, label_loss

    def _label_term(self, student: Distribution, labels: Tensor, gradient: Tensor | None) -> Tensor:
        """Cross-entropy at temperature 1 of each row (R,); sets `gradient` to its part of dL/ds, s the tempered logits.

        The logits are z = T s, so the probabilities at temperature 1 are q^T over their sum.
        """
        temperature = self.terms.temperature
        scale = self.terms.label_weight * temperature
        logits, q, log_normaliser = student
        if temperature == 1.0:
            if gradient is not None:
                torch.mul(q, scale, out=gradient)
        elif temperature == 2.0:  # the usual one: a product instead of an exponential
            power_sum = torch.linalg.vecdot(q, q)[:, None]
            log_normaliser = 2 * log_normaliser + power_sum.log()
            if gradient is not None:
                torch.mul(q, scale / power_sum, out=gradient).mul_(q)
        else:
            plain = torch.mul(logits, temperature, out=self.buffers.get("plain", *q.shape))
            _, q, log_normaliser = distribution(plain, self.buffers.get("q1", *q.shape))
            if gradient is not None:
                torch.mul(q, scale, out=gradient)
        if gradient is not None:
            gradient.scatter_add_(1, labels, gradient.new_full(labels.shape, -scale))
        return (log_normaliser - temperature * logits.gather(1, labels)).squeeze(1)
