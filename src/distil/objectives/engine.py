"""The one loop over chunks and blocks: losses, and gradients at once, so that nothing is projected twice.

For each chunk of counted rows: project the student, read the teacher, overwrite the student's logits block by block with the
gradient of both loss terms, and carry that back through the head. There is no autograd in it (`fused.py` adds that).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from distil.objectives.chunks import Buffers, Rows, block_rows, chunk_rows
from distil.objectives.gradients import Divergence
from distil.objectives.heads import HeadGradients, OutputHead, work_dtype
from distil.objectives.rows import RowKernel, row_kernel


@dataclass(frozen=True)
class Terms:
    """total = distill_weight * T^2 * divergence + label_weight * cross-entropy."""

    temperature: float
    distill_weight: float
    label_weight: float

    @property
    def pulls(self) -> tuple[float, float]:
        """What dD/ds and softmax(T s) count in the gradient with respect to the tempered logits s; the label's own id
        counts minus the second."""
        return self.distill_weight * self.temperature**2, self.label_weight * self.temperature


class Objective(Protocol):
    """The teacher's side of the distillation term."""

    @property
    def chunk_buffers(self) -> int:
        """Buffers of the size of a chunk's logits that this objective holds."""

    @property
    def dense_divergence(self) -> Divergence | None:
        """What the row kernel's `dense` is to compute; None if `rows` calls its `student` alone."""

    @property
    def one_pass(self) -> bool:
        """Whether the logits are seen by the row kernel alone, once."""

    def load(self, rows: Rows, start: int, stop: int, buffers: Buffers) -> None:
        """Makes ready what the teacher says about the counted rows [start, stop)."""

    def rows(
        self, block: slice, logits: Tensor, terms: Terms, kernel: RowKernel, differentiate: bool
    ) -> tuple[Tensor, Tensor]:
        """Divergences (R,) of the loaded rows in `block`, and the log-sum-exp (R, 1) of the logits at temperature 1.

        logits: (R, V) of the student, tempered. With `differentiate` they become the gradient of both terms with respect to
        them, but for the label's own id; else their content is lost.
        """


class LabelsAlone:
    """No teacher."""

    chunk_buffers = 0
    dense_divergence = None
    one_pass = True

    def load(self, rows: Rows, start: int, stop: int, buffers: Buffers) -> None:
        """There is nothing to make ready."""

    def rows(
        self, block: slice, logits: Tensor, terms: Terms, kernel: RowKernel, differentiate: bool
    ) -> tuple[Tensor, Tensor]:
        """As `Objective.rows`; the divergence is 0."""
        by_row = None
        if differentiate:
            by_row = logits.new_zeros(len(logits), 2)
            by_row[:, 1].fill_(terms.pulls[1])
        _, normalizer = kernel.student(logits, by_row)
        return logits.new_zeros(len(logits)), normalizer


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
    head: OutputHead,
    objective: Objective,
    labels: Tensor,
    counted: Tensor,
    terms: Terms,
    wanted: tuple[bool, bool, bool],
    chunk_tokens: int | None,
) -> Pass:
    """One forward over the rows where `counted` (N,) is true; `wanted` flags which of hidden, weight, bias need a gradient."""
    vocabulary = head.weight.shape[0]
    dtype, device = work_dtype(head.weight.dtype), hidden.device
    rows = Rows(counted, chunk_rows(vocabulary, 1 + objective.chunk_buffers, dtype, device, chunk_tokens))
    gradients = HeadGradients(head, rows.count, hidden.shape[1], wanted)
    losses = torch.zeros(2, rows.count, dtype=dtype, device=device)  # distill, label
    with Buffers.kept(dtype, device) as buffers:
        chunk = _Chunk(head, objective, terms, buffers, any(wanted))
        for start, stop in rows.spans():
            chunk_hidden = rows.take(hidden, start, stop)
            logits = buffers.get("student", stop - start, vocabulary)
            head.project(chunk_hidden, terms.temperature, logits)
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
        self, head: OutputHead, objective: Objective, terms: Terms, buffers: Buffers, differentiate: bool
    ) -> None:
        self.head, self.objective, self.terms = head, objective, terms
        self.buffers, self.differentiate = buffers, differentiate
        self.kernel = row_kernel(buffers, terms.temperature, objective.dense_divergence)
        self._whole = self.kernel.one_pass and objective.one_pass and head.softcap is None

    def blocks(self, logits: Tensor, labels: Tensor, losses: Tensor) -> None:
        """logits (C, V) as projected become their gradient (if wanted); losses (2, C) are filled in."""
        count, vocabulary = logits.shape
        step = count if self._whole else block_rows(vocabulary, logits.dtype, logits.device, count)
        for start in range(0, count, step):
            block = slice(start, min(start + step, count))
            losses[0, block], losses[1, block] = self._block(block, logits[block], labels[block, None])

    def _block(self, block: slice, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        temperature, slope = self.terms.temperature, None
        if self.differentiate and self.head.softcap is not None:
            slope = self.buffers.get("slope", *logits.shape)
        self.head.cap_(logits, temperature, slope)
        answers = logits.gather(1, labels)
        divergence, normalizer = self.objective.rows(block, logits, self.terms, self.kernel, self.differentiate)
        if self.differentiate:
            logits.scatter_add_(1, labels, logits.new_full(labels.shape, -self.terms.pulls[1]))
        if slope is not None:
            logits.mul_(slope)
        return divergence, (normalizer - temperature * answers).squeeze(1)
