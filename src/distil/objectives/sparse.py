"""The divergence to a teacher with a few known ids in each row: the top k with a tail, or unbiased samples.

The student's side stays exact: its full vocabulary is projected and normalized, only the teacher is sparse.
The formulas of the top-k form are those of `gradients.py` on k + 1 outcomes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from distil.objectives.chunks import Buffers, Rows
from distil.objectives.engine import Terms
from distil.objectives.gradients import Divergence, divergence_and_pull
from distil.objectives.rows import RowKernel
from distil.objectives.targets import SampledTargets, TopKTargets

LOWEST_LOG_MASS = -30.0  # e^-30 = 1e-13: stands for a stored mass of 0, whose logarithm no divergence can use


class TopKObjective:
    """Divergence between the distributions over k ids and "any other id"."""

    chunk_buffers = 0
    dense_divergence = None
    one_pass = False

    def __init__(self, targets: TopKTargets, divergence: Divergence, student_vocabulary: int) -> None:
        self.targets = targets
        self.divergence = divergence
        self.vocabulary = student_vocabulary
        self._ids = self._log_p = self._absent = self._no_tail = torch.empty(0)

    def load(self, rows: Rows, start: int, stop: int, buffers: Buffers) -> None:
        ids = rows.take(self.targets.ids, start, stop)
        absent = ids < 0
        kept = rows.take(self.targets.log_probs, start, stop).to(buffers.dtype).clamp(min=LOWEST_LOG_MASS)
        tail = rows.take(self.targets.log_tail, start, stop).to(buffers.dtype).clamp(min=LOWEST_LOG_MASS)
        # Padding repeats the first id: taking it out twice is harmless.
        self._ids = torch.where(absent, ids[:, :1], ids)
        self._no_tail = (ids >= 0).sum(-1, keepdim=True) == self.vocabulary
        # Within the k the divergence leaves the tail out; the cross-entropy counts it as ever.
        uncompared = torch.ones_like(self._no_tail) if self.targets.within else self._no_tail
        self._absent = torch.cat([absent, uncompared], -1)
        log_p = torch.cat([kept, tail[:, None]], -1).masked_fill_(self._absent, -torch.inf)  # (C, K + 1)
        self._log_p = torch.log_softmax(log_p, -1)

    def rows(
        self, block: slice, logits: Tensor, terms: Terms, kernel: RowKernel, differentiate: bool
    ) -> tuple[Tensor, Tensor]:
        """As `Objective.rows`."""
        ids, absent, log_p = self._ids[block], self._absent[block], self._log_p[block]
        temperature = terms.temperature
        kept = logits.gather(1, ids)  # (R, K)
        # The tail's mass as a sum over the tail: 1 - sum of the kept has no digits left where the tail is small.
        tail, plain_tail = kernel.student(logits.scatter_(1, ids, -torch.inf), None)
        outcomes = torch.cat([kept, tail], -1).masked_fill_(absent, -torch.inf)  # (R, K + 1)
        coarse = torch.log_softmax(outcomes, -1)
        plain_tail = plain_tail.masked_fill(self._no_tail[block], -torch.inf)
        plain = torch.cat([outcomes[:, :-1] * temperature, plain_tail], -1).logsumexp(-1, keepdim=True)
        outcome_p, outcome_q = log_p.exp(), coarse.exp()
        difference = (log_p - coarse).masked_fill_(absent, 0.0)
        loss, pull = divergence_and_pull(self.divergence, difference, outcome_p, outcome_q)
        if differentiate:
            weight, label_scale = terms.pulls
            slope = (pull - outcome_q * pull.sum(-1, keepdim=True)).mul_(weight)
            of_tail = torch.cat([slope[:, -1:], (plain_tail - plain).exp_().mul_(label_scale)], -1)
            kernel.student(logits, of_tail)
            logits.scatter_(1, ids, (kept * temperature - plain).exp_().mul_(label_scale))
            logits.scatter_add_(1, ids, slope[:, :-1])
        return loss, plain


class SampledObjective:
    """-sum_k w_k log q(id_k), whose expectation over the draws is the cross-entropy to p; minus the entropy where known."""

    chunk_buffers = 0
    dense_divergence = None
    one_pass = True

    def __init__(self, targets: SampledTargets) -> None:
        self.targets = targets
        self._ids = self._weights = self._entropy = torch.empty(0)

    def load(self, rows: Rows, start: int, stop: int, buffers: Buffers) -> None:
        ids = rows.take(self.targets.ids, start, stop)
        weights = rows.take(self.targets.weights, start, stop).to(buffers.dtype)
        self._ids, self._weights = ids.clamp(min=0), weights.masked_fill(ids < 0, 0.0)
        entropy = self.targets.entropy
        self._entropy = (
            weights.new_zeros(len(ids)) if entropy is None else rows.take(entropy, start, stop).to(weights.dtype)
        )

    def rows(
        self, block: slice, logits: Tensor, terms: Terms, kernel: RowKernel, differentiate: bool
    ) -> tuple[Tensor, Tensor]:
        """As `Objective.rows`; the gradient of the divergence is (sum of w) q - w."""
        ids, weights = self._ids[block], self._weights[block]
        weight, label_scale = terms.pulls
        chosen, by_row = logits.gather(1, ids), None
        if differentiate:
            mass = weights.sum(-1, keepdim=True) * weight
            by_row = torch.cat([mass, torch.full_like(mass, label_scale)], -1)
        normalizer, plain = kernel.student(logits, by_row)
        if differentiate:
            logits.scatter_add_(1, ids, weights * -weight)
        return -(weights * (chosen - normalizer)).sum(-1) - self._entropy[block], plain
