"""The row operations between the matrix products: losses, and gradients written over the logits.

Two implementations of the same numbers. `TensorRows` uses tensor operations: any device, any dtype, and the other's reference.
`NativeRows` in `native.py` calls compiled code (`rows.c`) that reads each row from memory once: on a CPU with a C
compiler. The formulas are in `gradients.py`; `row_kernel` chooses the implementation.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from distil.objectives.chunks import Buffers
from distil.objectives.gradients import Divergence, add_divergence, dot_rows
from distil.objectives.native import native_rows

# In log(p / q) a logit further below its row's largest, -inf above all, counts as this far below: the probability is 0, and
# 0 * -1e4 is 0 where 0 * -inf is not.
LOWEST_LOGIT = -1e4


class RowKernel(Protocol):
    """Made for one temperature T and one divergence. Logits s = z / T are tempered; "plain" means at temperature 1,
    softmax(T s)."""

    kind: str
    """For people: "compiled" or "tensor operations"."""
    one_pass: bool
    """Whether rows are read from memory once, however many are handed over."""

    def student(self, logits: Tensor, by_row: Tensor | None) -> tuple[Tensor, Tensor]:
        """log-sum-exp of s and of T s, (R, 1) each.

        logits: (R, V); if by_row (R, 2) is given they become by_row[:, 0] softmax(s) + by_row[:, 1] softmax(T s), else they are
        kept.
        """

    def dense(self, logits: Tensor, teacher: Tensor, pulls: tuple[float, float] | None) -> tuple[Tensor, Tensor]:
        """D(p || q) of each row, (R,), and the log-sum-exp of T s, (R, 1).

        logits: (R, V); teacher: (R, V') with V' <= V, tempered logits, is overwritten; q is over the first V' ids. -inf on
        either side counts as `LOWEST_LOGIT`. If pulls are given, logits become pulls[0] dD/ds + pulls[1] softmax(T s); else
        their content is lost.
        """


def row_kernel(buffers: Buffers, temperature: float, divergence: Divergence | None) -> RowKernel:
    """Compiled rows where they can be had, else tensor operations; divergence: what `dense` computes, None if only `student`
    is needed."""
    native = native_rows(buffers.dtype, temperature, divergence) if buffers.device.type == "cpu" else None
    return native or TensorRows(buffers, temperature, divergence)


class TensorRows:
    """Tensor operations on buffers that are used again."""

    kind = "tensor operations"
    one_pass = False

    def __init__(self, buffers: Buffers, temperature: float, divergence: Divergence | None) -> None:
        self._buffers = buffers
        self._temperature = temperature
        self._divergence = divergence

    def student(self, logits: Tensor, by_row: Tensor | None) -> tuple[Tensor, Tensor]:
        """As `RowKernel.student`."""
        q, normalizer, _ = self._softmax(logits, "q")
        if self._temperature == 1.0:
            if by_row is not None:
                torch.mul(q, by_row.sum(-1, keepdim=True), out=logits)
            return normalizer, normalizer
        if self._temperature == 2.0:  # the usual one: a product instead of an exponential
            squares = dot_rows(q, q)[:, None]
            if by_row is not None:
                torch.mul(q, by_row[:, 1:] / squares, out=logits).add_(by_row[:, :1]).mul_(q)
            return normalizer, 2 * normalizer + squares.log()
        plain, plain_normalizer = self._plain(logits)
        if by_row is not None:
            torch.mul(q, by_row[:, :1], out=logits).addcmul_(plain, by_row[:, 1:])
        return normalizer, plain_normalizer

    def dense(self, logits: Tensor, teacher: Tensor, pulls: tuple[float, float] | None) -> tuple[Tensor, Tensor]:
        """As `RowKernel.dense`."""
        assert self._divergence is not None
        shared, vocabulary = teacher.shape[1], logits.shape[1]
        q, normalizer, largest = self._softmax(logits, "q")
        gradient = None if pulls is None else self._buffers.get("gradient", *logits.shape)
        plain_normalizer = self._label_pull(logits, q, normalizer, gradient, pulls)
        kept = gradient
        if shared < vocabulary:  # the common prefix of ids, as a separate distribution
            kept = None if gradient is None else gradient[:, :shared]
            q, normalizer, largest = self._softmax(logits[:, :shared], "q")
        p, teacher_normalizer, teacher_largest = self._softmax(teacher, "p")
        student = logits[:, :shared].clamp_(min=largest + LOWEST_LOGIT)
        difference = teacher.clamp_(min=teacher_largest + LOWEST_LOGIT).sub_(student)
        difference.sub_(teacher_normalizer - normalizer)
        loss = add_divergence(self._divergence, difference, p, q, kept, 0.0 if pulls is None else pulls[0])
        if gradient is not None:
            logits.copy_(gradient)
        return loss, plain_normalizer

    def _label_pull(
        self, logits: Tensor, q: Tensor, normalizer: Tensor, gradient: Tensor | None, pulls: tuple[float, float] | None
    ) -> Tensor:
        """log-sum-exp of T s; sets `gradient` to pulls[1] softmax(T s)."""
        scale = 0.0 if pulls is None else pulls[1]
        if self._temperature == 2.0:
            squares = dot_rows(q, q)[:, None]
            if gradient is not None:
                torch.mul(q, scale / squares, out=gradient).mul_(q)
            return 2 * normalizer + squares.log()
        if self._temperature != 1.0:
            q, normalizer = self._plain(logits)
        if gradient is not None:
            torch.mul(q, scale, out=gradient)
        return normalizer

    def _plain(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        scaled = torch.mul(logits, self._temperature, out=self._buffers.get("scaled", *logits.shape))
        probabilities, normalizer, _ = self._softmax(scaled, "plain")
        return probabilities, normalizer

    def _softmax(self, logits: Tensor, name: str) -> tuple[Tensor, Tensor, Tensor]:
        """Probabilities (R, V), in the buffer `name`, the log-sum-exp (R, 1) and the largest logit (R, 1); the logits are kept.

        The normalizer is read off the result, without another exponential: the largest probability is exp(largest logit) / Z.
        """
        probabilities = torch.softmax(logits, -1, out=self._buffers.get(name, *logits.shape))
        largest, share = logits.amax(-1, keepdim=True), probabilities.amax(-1, keepdim=True)
        return probabilities, largest - share.log_(), largest
