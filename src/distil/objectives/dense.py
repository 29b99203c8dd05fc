"""The divergence to a teacher whose every logit is known: live hidden states and head, logits, or a mixture of these.

Reads the teacher a chunk at a time into buffers, and turns a block of the student's log-probabilities into losses and a logit
gradient. The formulas are in `gradients.py`. Called by `engine.py`, which owns the loop.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from distil.objectives.chunks import Buffers, Rows
from distil.objectives.gradients import Distribution, Divergence, add_divergence, distribution
from distil.objectives.heads import Head
from distil.objectives.targets import DenseTargets, LogitTargets, MixtureTargets

LOWEST_LOGIT = (
    -1e4
)  # stands for -inf below a row's maximum: its probability is 0, and 0 * -1e4 is 0 where 0 * -inf is not


class DenseObjective:
    """D(p_T, q_T) over the first `vocabulary` ids, for DenseTargets, LogitTargets and MixtureTargets."""

    def __init__(
        self,
        targets: DenseTargets | LogitTargets | MixtureTargets,
        divergence: Divergence,
        temperature: float,
        student_vocabulary: int,
    ) -> None:
        self.divergence = divergence
        self.vocabulary = min(targets.vocabulary, student_vocabulary)
        mixture = targets if isinstance(targets, MixtureTargets) else MixtureTargets((targets,), (1.0,))
        self._log_shares = [math.log(share) for share in mixture.shares]
        self._teachers = [
            _Teacher(teacher, self.vocabulary, temperature, f"teacher{number}")
            for number, teacher in enumerate(mixture.teachers)
        ]

    @property
    def chunk_buffers(self) -> int:
        """Buffers of the size of a chunk's logits that this objective holds."""
        return len(self._teachers)

    def load(self, rows: Rows, start: int, stop: int, buffers: Buffers) -> None:
        """Projects or copies the teachers' logits for the counted rows [start, stop)."""
        for teacher in self._teachers:
            teacher.load(rows, start, stop, buffers)

    def add(
        self, block: slice, student: Distribution, gradient: Tensor | None, weight: float, buffers: Buffers
    ) -> Tensor:
        """Losses (R,) of the chunk's rows in `block`; adds weight * dL/ds to `gradient` (R, V_s) if it is given.

        student: (R, V_s) its tempered distribution over its whole vocabulary; the probabilities may be overwritten.
        """
        logits, q, log_normaliser = student
        shared = self.vocabulary
        if shared < q.shape[1]:  # the common prefix of ids, as a distribution of its own
            logits, q = logits[:, :shared], q[:, :shared]
            mass = q.sum(-1, keepdim=True)
            q.div_(mass)
            log_normaliser = log_normaliser + mass.log_()
            gradient = None if gradient is None else gradient[:, :shared]
        teacher = self._teacher_block(block, buffers)
        difference = teacher.logits.sub_(logits).sub_(teacher.log_normaliser - log_normaliser)
        return add_divergence(self.divergence, difference, teacher.probabilities, q, gradient, weight)

    def _teacher_block(self, block: slice, buffers: Buffers) -> Distribution:
        """The mixture's rows, (R, V)."""
        first = self._teachers[0].block(block, buffers)
        if len(self._teachers) == 1:
            return first
        log_p = first.logits.sub_(first.log_normaliser - self._log_shares[0])
        for teacher, log_share in zip(self._teachers[1:], self._log_shares[1:], strict=True):
            other = teacher.block(block, buffers)
            torch.logaddexp(log_p, other.logits.sub_(other.log_normaliser - log_share), out=log_p)
        return Distribution(log_p, torch.exp(log_p, out=first.probabilities), torch.zeros_like(first.log_normaliser))


class _Teacher:
    """One teacher's tempered log-probabilities, chunk by chunk."""

    def __init__(
        self, targets: DenseTargets | LogitTargets, vocabulary: int, temperature: float, buffer_name: str
    ) -> None:
        self._targets = targets
        self._vocabulary = vocabulary
        self._temperature = temperature
        self._name = buffer_name
        self._logits = torch.empty(0)
        self._head: Head | None = None
        if isinstance(targets, DenseTargets):
            self._head = Head.of(targets.weight, targets.bias, targets.logit_scale, targets.logit_softcap, vocabulary)

    def load(self, rows: Rows, start: int, stop: int, buffers: Buffers) -> None:
        self._logits = buffers.get(self._name, stop - start, self._vocabulary)
        if isinstance(self._targets, DenseTargets):
            assert self._head is not None
            self._head.project(rows.take(self._targets.hidden.detach(), start, stop), self._temperature, self._logits)
            return
        self._logits.copy_(rows.take(self._targets.logits.detach(), start, stop)[:, : self._vocabulary])
        if self._temperature != 1.0:
            self._logits.div_(self._temperature)

    def block(self, block: slice, buffers: Buffers) -> Distribution:
        """The rows in `block`; the logits are this object's own and may be overwritten."""
        logits = self._logits[block]
        if self._head is not None:
            self._head.cap_(logits, self._temperature)
        else:
            logits.clamp_(min=logits.amax(-1, keepdim=True) + LOWEST_LOGIT)
        p = buffers.get("p", logits.shape[0], logits.shape[1])
        return distribution(logits, p)
