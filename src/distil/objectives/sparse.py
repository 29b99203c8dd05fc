"""The divergence to a teacher of whom a few ids of each row are known: the top k with a tail, or unbiased samples.

The student's side stays exact: its full vocabulary is projected and normalised, only the teacher is sparse. Called by
`engine.py`; the formulas of the top-k form are those of `gradients.py` on k + 1 outcomes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from distil.objectives.chunks import Buffers, Rows
from distil.objectives.gradients import Distribution, Divergence, distribution, divergence_and_pull
from distil.objectives.targets import SampledTargets, TopKTargets

LOWEST_LOG_MASS = -30.0  # e^-30 = 1e-13: stands for a stored mass of 0, whose logarithm no divergence can use


class TopKObjective:
    """Divergence between the distributions over k ids and "any other id"."""

    chunk_buffers = 0

    def __init__(self, targets: TopKTargets, divergence: Divergence) -> None:
        self.targets = targets
        self.divergence = divergence
        self._ids = self._log_p = self._absent = torch.empty(0)

    def load(self, rows: Rows, start: int, stop: int, buffers: Buffers) -> None:
        ids = rows.take(self.targets.ids, start, stop)
        absent = ids < 0
        kept = rows.take(self.targets.log_probs, start, stop).to(buffers.dtype).clamp(min=LOWEST_LOG_MASS)
        tail = rows.take(self.targets.log_tail, start, stop).to(buffers.dtype).clamp(min=LOWEST_LOG_MASS)
        log_p = torch.cat([kept.masked_fill(absent, -torch.inf), tail[:, None]], -1)  # (C, K + 1)
        self._log_p = torch.log_softmax(log_p, -1)
        self._ids = torch.where(
            absent, ids[:, :1], ids
        )  # padding repeats the first id: taking it out twice is harmless
        self._absent = torch.cat([absent, absent.new_zeros(len(ids), 1)], -1)

    def add(
        self, block: slice, student: Distribution, gradient: Tensor | None, weight: float, buffers: Buffers
    ) -> Tensor:
        """As `DenseObjective.add`."""
        ids, absent, log_p = self._ids[block], self._absent[block], self._log_p[block]
        kept = student.logits.gather(1, ids) - student.log_normaliser  # (R, K)
        # The tail's mass as a sum over the tail: 1 - sum of the kept has no digits left where the tail is small.
        # Each tail id's share of the tail, 0 on the kept ids:
        rest = distribution(student.logits.scatter_(1, ids, -torch.inf), student.probabilities)
        within_tail, tail = rest.probabilities, rest.log_normaliser - student.log_normaliser
        coarse = torch.log_softmax(torch.cat([kept, tail], -1).masked_fill(absent, -torch.inf), -1)  # (R, K + 1)
        outcome_p, outcome_q = log_p.exp(), coarse.exp()
        difference = (log_p - coarse).masked_fill_(absent, 0.0)
        loss, pull = divergence_and_pull(self.divergence, difference, outcome_p, outcome_q)
        if gradient is not None:
            slope = (pull - outcome_q * pull.sum(-1, keepdim=True)).mul_(weight)
            gradient.addcmul_(within_tail, slope[:, -1:])
            gradient.scatter_add_(1, ids, slope[:, :-1])
        return loss


class SampledObjective:
    """-sum_k w_k log q(id_k), whose expectation over the draws is the cross-entropy to p; minus the entropy where known."""

    chunk_buffers = 0

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

    def add(
        self, block: slice, student: Distribution, gradient: Tensor | None, weight: float, buffers: Buffers
    ) -> Tensor:
        """As `DenseObjective.add`; the gradient is (sum of w) q - w."""
        ids, weights = self._ids[block], self._weights[block]
        log_q = student.logits.gather(1, ids) - student.log_normaliser
        loss = -(weights * log_q).sum(-1) - self._entropy[block]
        if gradient is not None:
            gradient.addcmul_(student.probabilities, weights.sum(-1, keepdim=True), value=weight)
            gradient.scatter_add_(1, ids, weights * -weight)
        return loss
