"""The divergence to a teacher whose every logit is known: live hidden states and head, logits, or a mixture of these.

Reads the teacher a chunk at a time into buffers and hands its logits to the row kernel beside the student's. The formulas are
in `gradients.py`.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from distil.objectives.chunks import Buffers, Rows
from distil.objectives.engine import Terms
from distil.objectives.gradients import Divergence
from distil.objectives.heads import OutputHead
from distil.objectives.rows import RowKernel
from distil.objectives.targets import DenseTargets, LogitTargets, MixtureTargets


class DenseObjective:
    """D(p_T, q_T) over the first `vocabulary` ids, for DenseTargets, LogitTargets and MixtureTargets."""

    def __init__(
        self,
        targets: DenseTargets | LogitTargets | MixtureTargets,
        divergence: Divergence,
        temperature: float,
        student_vocabulary: int,
    ) -> None:
        self.dense_divergence = divergence
        self.vocabulary = min(targets.vocabulary, student_vocabulary)
        mixture = targets if isinstance(targets, MixtureTargets) else MixtureTargets((targets,), (1.0,))
        self._log_shares = [math.log(share) for share in mixture.shares]
        self._teachers = [
            _Teacher(teacher, self.vocabulary, temperature, f"teacher{number}")
            for number, teacher in enumerate(mixture.teachers)
        ]

    @property
    def chunk_buffers(self) -> int:
        """As `Objective.chunk_buffers`: one for each teacher."""
        return len(self._teachers)

    @property
    def one_pass(self) -> bool:
        """As `Objective.one_pass`: one teacher whose logits need no cap needs no other pass."""
        return len(self._teachers) == 1 and self._teachers[0].final

    def load(self, rows: Rows, start: int, stop: int, buffers: Buffers) -> None:
        """Projects or copies the teachers' logits for the counted rows [start, stop)."""
        for teacher in self._teachers:
            teacher.load(rows, start, stop, buffers)

    def rows(
        self, block: slice, logits: Tensor, terms: Terms, kernel: RowKernel, differentiate: bool
    ) -> tuple[Tensor, Tensor]:
        """As `Objective.rows`."""
        pulls = terms.pulls if differentiate else None
        return kernel.dense(logits, self._teacher_block(block), pulls)

    def _teacher_block(self, block: slice) -> Tensor:
        """The rows of the teacher or of the mixture, (R, V'), tempered and up to a constant; they may be overwritten."""
        if len(self._teachers) == 1:
            return self._teachers[0].block(block)
        parts = [
            torch.log_softmax(teacher.block(block), -1).add_(log_share)
            for teacher, log_share in zip(self._teachers, self._log_shares, strict=True)
        ]
        return functools.reduce(torch.logaddexp, parts)


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
        self._head: OutputHead | None = None
        if isinstance(targets, DenseTargets):
            self._head = targets.head.detached(vocabulary)

    @property
    def final(self) -> bool:
        """Whether the logits are as they should be when they are loaded."""
        return self._head is None or self._head.softcap is None

    def load(self, rows: Rows, start: int, stop: int, buffers: Buffers) -> None:
        self._logits = buffers.get(self._name, stop - start, self._vocabulary)
        if isinstance(self._targets, DenseTargets):
            assert self._head is not None
            self._head.project(rows.take(self._targets.hidden.detach(), start, stop), self._temperature, self._logits)
            return
        self._logits.copy_(rows.take(self._targets.logits.detach(), start, stop)[:, : self._vocabulary])
        if self._temperature != 1.0:
            self._logits.div_(self._temperature)

    def block(self, block: slice) -> Tensor:
        """The rows in `block`, this object's own: they may be overwritten."""
        logits = self._logits[block]
        if self._head is not None:
            self._head.cap_(logits, self._temperature)
        return logits
