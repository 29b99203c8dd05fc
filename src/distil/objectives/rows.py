"""What happens to rows of logits between the matrix products: losses, and gradients in the place of the logits.

Two ways to the same numbers. `TensorRows` is tensor operations: any device, any dtype, and what the other is tested against.
`NativeRows` calls compiled code (`rows.c` through `native.py`) that reads each row from memory once: on a CPU wherever a C
compiler is at hand. The formulas are in `gradients.py`. Called by the objectives in `dense.py` and `sparse.py`, which know the
teacher; `engine.py` chooses with `row_kernel`.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from distil.objectives.chunks import Buffers
from distil.objectives.gradients import Divergence, add_divergence
from distil.objectives.native import NativeLibrary, native_library


class RowKernel(Protocol):
    """Logits s = z / T are tempered; "plain" means at temperature 1, softmax(T s)."""

    one_pass: bool
    """Whether rows are read from memory once, however many are handed over."""

    def student(self, logits: Tensor, temperature: float, by_row: Tensor | None) -> tuple[Tensor, Tensor]:
        """log-sum-exp of s and of T s, (R, 1) each.

        logits: (R, V); if by_row (R, 2) is given they become by_row[:, 0] softmax(s) + by_row[:, 1] softmax(T s).
        """

    def dense(
        self,
        logits: Tensor,
        teacher: Tensor,
        divergence: Divergence,
        temperature: float,
        pulls: tuple[float, float] | None,
    ) -> tuple[Tensor, Tensor]:
        """D(p || q) of each row, (R,), and the log-sum-exp of T s, (R, 1).

        logits: (R, V); teacher: (R, V') with V' <= V, tempered logits, is overwritten; q is over the first V' ids. If pulls
        are given, logits become pulls[0] dD/ds + pulls[1] softmax(T s); else their content is lost.
        """


def row_kernel(buffers: Buffers) -> RowKernel:
    """Compiled rows where they can be had, else tensor operations."""
    library = native_library(buffers.dtype) if buffers.device.type == "cpu" else None
    return TensorRows(buffers) if library is None else NativeRows(library)


class NativeRows:
    """Compiled rows; a row stays in the second-level cache from its first reading to its last writing."""

    one_pass = True

    def __init__(self, library: NativeLibrary) -> None:
        self._library = library

    def student(self, logits: Tensor, temperature: float, by_row: Tensor | None) -> tuple[Tensor, Tensor]:
        sums = logits.new_empty(2, len(logits))
        self._library.student_rows(logits, temperature, by_row, sums[0], sums[1])
        return sums[0, :, None], sums[1, :, None]

    def dense(
        self,
        logits: Tensor,
        teacher: Tensor,
        divergence: Divergence,
        temperature: float,
        pulls: tuple[float, float] | None,
    ) -> tuple[Tensor, Tensor]:
        results = logits.new_empty(2, len(logits))
        parameter = divergence.beta if divergence.name == "jsd" else divergence.alpha
        self._library.dense_rows(
            logits, teacher, (divergence.name, parameter), temperature, pulls, results[0], results[1]
        )
        return results[0], results[1, :, None]


class TensorRows:
    """The same in tensor operations on buffers that are used again."""

    one_pass = False

    def __init__(self, buffers: Buffers) -> None:
        self._buffers = buffers

    def student(self, logits: Tensor, temperature: float, by_row: Tensor | None) -> tuple[Tensor, Tensor]:
        q, normaliser = self._softmax(logits, "q")
        if temperature == 1.0:
            if by_row is not None:
                torch.mul(q, by_row.sum(-1, keepdim=True), out=logits)
            return normaliser, normaliser
        if temperature == 2.0:  # the usual one: a product instead of an exponential
            squares = torch.linalg.vecdot(q, q)[:, None]
            if by_row is not None:
                torch.mul(q, by_row[:, 1:] / squares, out=logits).add_(by_row[:, :1]).mul_(q)
            return normaliser, 2 * normaliser + squares.log()
        plain, plain_normaliser = self._plain(logits, temperature)
        if by_row is not None:
            torch.mul(q, by_row[:, :1], out=logits).addcmul_(plain, by_row[:, 1:])
        return normaliser, plain_normaliser

    def dense(
        self,
        logits: Tensor,
        teacher: Tensor,
        divergence: Divergence,
        temperature: float,
        pulls: tuple[float, float] | None,
    ) -> tuple[Tensor, Tensor]:
        q, normaliser = self._softmax(logits, "q")
        gradient = None if pulls is None else self._buffers.get("gradient", *logits.shape)
        plain_normaliser = self._label_pull(logits, q, normaliser, temperature, gradient, pulls)
        shared, kept = teacher.shape[1], gradient
        if shared < logits.shape[1]:  # the common prefix of ids, as a distribution of its own
            q = q[:, :shared]
            mass = q.sum(-1, keepdim=True)
            q.div_(mass)
            normaliser = normaliser + mass.log_()
            kept = None if gradient is None else gradient[:, :shared]
        p, teacher_normaliser = self._softmax(teacher, "p")
        difference = teacher.sub_(logits[:, :shared]).sub_(teacher_normaliser - normaliser)
        loss = add_divergence(divergence, difference, p, q, kept, 0.0 if pulls is None else pulls[0])
        if gradient is not None:
            logits.copy_(gradient)
        return loss, plain_normaliser

    def _label_pull(
        self,
        logits: Tensor,
        q: Tensor,
        normaliser: Tensor,
        temperature: float,
        gradient: Tensor | None,
        pulls: tuple[float, float] | None,
    ) -> Tensor:
        """log-sum-exp of T s; sets `gradient` to pulls[1] softmax(T s)."""
        scale = 0.0 if pulls is None else pulls[1]
        if temperature == 2.0:
            squares = torch.linalg.vecdot(q, q)[:, None]
            if gradient is not None:
                torch.mul(q, scale / squares, out=gradient).mul_(q)
            return 2 * normaliser + squares.log()
        if temperature != 1.0:
            q, normaliser = self._plain(logits, temperature)
        if gradient is not None:
            torch.mul(q, scale, out=gradient)
        return normaliser

    def _plain(self, logits: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        scaled = torch.mul(logits, temperature, out=self._buffers.get("scaled", *logits.shape))
        return self._softmax(scaled, "plain")

    def _softmax(self, logits: Tensor, name: str) -> tuple[Tensor, Tensor]:
        """Probabilities (R, V), in the buffer `name`, and the log-sum-exp (R, 1); the logits are kept.

        The normaliser is read off the result, without another exponential: the largest probability is exp(largest logit) / Z.
        """
        probabilities = torch.softmax(logits, -1, out=self._buffers.get(name, *logits.shape))
        largest, share = logits.amax(-1, keepdim=True), probabilities.amax(-1, keepdim=True)
        return probabilities, largest - share.log_()
